"""One upstream call for the fleet, over links in memory: what a GitHub would have been asked is counted."""

from __future__ import annotations

import os

import pytest
import trio

from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.frames import Acquire, Free
from tests.unit.swarm.conftest import Node, Pointers, Run, World
from tests.unit.swarm.lab import SCOPE, GitHub, burst, fleet, said


@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_a_burst_makes_one_call_for_each_thing(world: World, run: Run, pointer: Pointers, size: int) -> None:
    async def test() -> None:
        nodes, github = fleet(world, size), GitHub()
        async with world.running(*nodes):
            await world.met(*nodes, links=min(1, size - 1))
            await world.until(lambda: len(nodes[0].mesh.members) == size - 1)
            await burst(world, nodes, github, pointer, names=10)
        assert github.calls == 10
        assert github.answered == 10 * size

    run(test)


def test_it_works_among_members_without_a_hub(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        nodes, github = [world.node(0), *(world.node(n, 0) for n in range(1, 6))], GitHub()
        async with world.running(*nodes):
            await world.met(*nodes)
            await burst(world, nodes, github, pointer, names=10)
        assert github.calls == 10

    run(test)


def test_a_refused_leader_frees_the_others_to_ask_for_themselves(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        nodes, github = fleet(world, 4), GitHub()
        async with world.running(*nodes):
            await world.met(*nodes)
            began = trio.current_time()
            await burst(world, nodes, github, pointer, keep=False)
            assert trio.current_time() - began < 1.0
        assert github.calls == 4

    run(test)


@pytest.mark.parametrize("how", ["dies", "stalls"])
def test_a_leader_that_is_lost_hands_over_within_a_second(world: World, run: Run, pointer: Pointers, how: str) -> None:
    async def test() -> None:
        nodes, github = fleet(world, 4), GitHub(latency=0.05)
        async with world.running(*nodes):
            await world.met(*nodes)
            leader, *others = nodes[1:]
            name = os.urandom(32)
            assert await leader.mesh.leases.acquire(name, SCOPE) is not None
            if how == "dies":
                leader.die()
            else:
                for link in world.net.links:
                    if link.owner == leader.peer:
                        link.deaf = True
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                for node in others:
                    nursery.start_soon(github.ask, node, name, pointer)
            assert trio.current_time() - began < 1.2
        assert github.calls == 1

    run(test)


@pytest.mark.parametrize("how", ["dies", "stalls"])
def test_an_arbiter_that_is_lost_holds_nobody_up(world: World, run: Run, pointer: Pointers, how: str) -> None:
    async def test() -> None:
        nodes, github = fleet(world, 4), GitHub(latency=0.2)
        async with world.running(*nodes):
            await world.met(*nodes)
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                name = os.urandom(32)
                for node in nodes[1:]:
                    nursery.start_soon(github.ask, node, name, pointer)
                await trio.sleep(0.1)
                if how == "dies":
                    nodes[0].die()
                else:
                    for link in world.net.links:
                        if link.owner == nodes[0].peer:
                            link.deaf = True
            assert trio.current_time() - began < 2.0
        assert github.answered == 3
        assert github.calls <= (1 if how == "dies" else 2)

    run(test)


def test_of_all_who_cannot_have_what_was_left_one_asks_again(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        nodes = fleet(world, 6)
        async with world.running(*nodes):
            await world.met(*nodes)
            name, asked, freed = os.urandom(32), [], []
            token = await nodes[1].lead(name, SCOPE)

            async def follow(node: Node) -> None:
                assert await node.mesh.leases.acquire(name, SCOPE) is None
                token = await node.mesh.leases.acquire(name, SCOPE, again=True)
                if token is None:
                    freed.append(node)
                else:
                    asked.append(node)
                    await trio.sleep(0.1)
                    node.mesh.leases.release(token, pointer(name=name))

            async with trio.open_nursery() as nursery:
                for node in (nodes[0], *nodes[2:]):  # the arbiter itself is one of them
                    nursery.start_soon(follow, node)
                await trio.sleep(0.1)
                nodes[1].mesh.leases.release(token, pointer(name=name))
            assert len(asked) == 1
            assert len(freed) == 4

    run(test)


def test_a_wait_that_was_too_long_is_not_repeated(world: World, run: Run) -> None:
    async def test() -> None:
        nodes = fleet(world, 3, limits=Limits(lease=2.0))
        async with world.running(*nodes):
            await world.met(*nodes)
            name = os.urandom(32)
            with trio.fail_after(10):
                while await nodes[1].mesh.leases.acquire(name, SCOPE) is None:
                    pass
                nodes[0].mesh.leases.arbiter._state._lease = 100.0
                assert await nodes[1].mesh.leases.acquire(name, SCOPE) is None
                began = trio.current_time()
                assert await nodes[1].mesh.leases.acquire(name, SCOPE, again=True) is None
                assert trio.current_time() == began

    run(test)


def test_where_nothing_was_left_nobody_waits_again(world: World, run: Run) -> None:
    async def test() -> None:
        nodes = fleet(world, 3)
        async with world.running(*nodes):
            await world.met(*nodes)
            name = os.urandom(32)
            token = await nodes[1].lead(name, SCOPE)

            async def follow(node: Node) -> None:
                assert await node.mesh.leases.acquire(name, SCOPE) is None
                holding = trio.current_time()
                assert await node.mesh.leases.acquire(name, SCOPE, again=True) is None
                assert trio.current_time() == holding

            async with trio.open_nursery() as nursery:
                for node in (nodes[0], nodes[2]):
                    nursery.start_soon(follow, node)
                await trio.sleep(0.1)
                nodes[1].mesh.leases.release(token, None)

    run(test)


def test_nobody_waits_longer_than_a_lease(world: World, run: Run) -> None:
    async def test() -> None:
        nodes = fleet(world, 3, limits=Limits(lease=2.0))
        async with world.running(*nodes):
            await world.met(*nodes)
            name = os.urandom(32)
            first = await nodes[1].mesh.leases.acquire(name, SCOPE)
            began = trio.current_time()
            second = await nodes[2].mesh.leases.acquire(name, SCOPE)
            assert trio.current_time() - began <= 2.3
            assert first is not None
            nodes[1].mesh.leases.release(first, None)
            if second is not None:
                nodes[2].mesh.leases.release(second, None)
            await world.until(lambda: not len(nodes[0].mesh.leases.arbiter))

    run(test)


def test_a_waiter_that_is_cancelled_does_not_get_the_lease(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        nodes, github = fleet(world, 4), GitHub()
        async with world.running(*nodes):
            await world.met(*nodes)
            name = os.urandom(32)
            token = await nodes[1].lead(name, SCOPE)
            with trio.move_on_after(0.05):
                await nodes[2].mesh.leases.acquire(name, SCOPE)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(github.ask, nodes[3], name, pointer)
                await trio.sleep(0.05)
                nodes[1].die()
            assert github.calls == 1
            assert token is not None

    run(test)


def test_releasing_twice_or_nothing_is_harmless(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node):
            token = await node.lead(b"r" * 32, SCOPE)
            node.mesh.leases.release(token, None)
            node.mesh.leases.release(token, None)
            node.mesh.leases.release(12345, None)
            assert await node.mesh.leases.acquire(b"r" * 32, SCOPE) not in (None, token)

    run(test)


def test_a_second_caller_on_the_holders_node_is_freed_and_asks_no_peer_for_it(
    world: World, run: Run, pointer: Pointers
) -> None:
    async def test() -> None:
        hub, node = nodes = fleet(world, 2)
        async with world.running(*nodes):
            await world.met(*nodes)
            name, freed = os.urandom(32), []
            token = await node.lead(name, SCOPE)

            async def follow() -> None:
                freed.append(await node.mesh.leases.acquire(name, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow)
                await trio.sleep(0.1)
                left = pointer(name=name)
                node.mesh.leases.release(token, left)
            assert freed == [None]
            assert node.directory.find(name) == []
            assert set(hub.directory.holders(left.cid)) == {node.peer}

    run(test)


def test_an_arbiter_whose_last_word_freed_a_caller_may_go(world: World, run: Run, pointer: Pointers) -> None:
    """The caller has not taken notice yet: it is free all the same, and asks nobody again."""

    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node, hub=True) as hub:
            await world.until(lambda: len(node.mesh.members) == 1)
            leases, [session] = node.mesh.leases, list(node.mesh.members)
            got = []

            async def acquire() -> None:
                got.append(await leases.acquire(b"r" * 32, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                asked = await hub.hear(Acquire)
                await hub.say(said(asked.id, hub))
                await trio.sleep(0.1)
                leases.on_free(session, Free(asked.id, None, ""))
                leases.on_leave(session)
            assert got == [None]

    run(test)
