"""A node that arbitrates: who is granted, who waits, and what becomes of leases whose holder is lost."""

from __future__ import annotations

import os

import pytest
import trio

from p2pcache.cache.arbiter import choose
from p2pcache.swarm.protocol.frames import Acquire, Free, Grant, Ping, Pong, Queued, Release, wire
from p2pcache.swarm.rules.reasons import Ended, Reason
from tests.unit.swarm.conftest import Node, Pointers, Run, World
from tests.unit.swarm.lab import OTHER, SCOPE, GitHub, fleet


def test_what_was_left_just_now_is_of_no_use_to_who_could_not_have_it(
    world: World, run: Run, pointer: Pointers
) -> None:
    async def test() -> None:
        nodes = fleet(world, 3)
        async with world.running(*nodes):
            await world.met(*nodes)
            name = os.urandom(32)
            first = await nodes[1].lead(name, SCOPE)
            left = pointer(name=name)
            nodes[1].mesh.leases.release(first, left)
            nodes[1].mesh.blocks.announce([left])
            await world.until(lambda: nodes[1].peer in nodes[2].directory.holders(left.cid))
            assert await nodes[2].mesh.leases.acquire(name, SCOPE) is None
            token = await nodes[2].mesh.leases.acquire(name, SCOPE, again=True)
            assert token is not None
            nodes[2].mesh.leases.release(token, None)
            token = await nodes[2].mesh.leases.acquire(name, SCOPE, again=True)  # a new request, nothing freed before
            assert token is not None
            nodes[2].mesh.leases.release(token, None)

    run(test)


def test_a_holder_by_any_name_can_be_said_to_the_next_arbiter(world: World, run: Run, pointer: Pointers) -> None:
    """What one member says must not make another drop this node for garbage."""

    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node, hub=True) as hub:
            await world.until(lambda: len(node.mesh.members) == 1)
            name, got = b"r" * 32, []

            async def acquire(again: bool) -> None:
                got.append(await node.mesh.leases.acquire(name, SCOPE, again=again))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire, False)
                asked = await hub.hear(Acquire)
                await hub.say(Free(asked.id, wire(pointer(name=name)), "0OIl\n"))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire, True)
                asked = await hub.hear(Acquire)
                assert set(asked.exclude) == {world.peer(30), "0OIl\n"}
                await hub.say(Grant(asked.id, None, ""))
            assert got == [None, asked.id]
            node.mesh.leases.release(asked.id, None)

    run(test)


@pytest.mark.parametrize("how", ["hangs", "vanishes", "gives up"])
def test_a_holder_that_will_not_ask_is_succeeded_by_one_other(
    world: World, run: Run, pointer: Pointers, how: str
) -> None:
    async def test() -> None:
        nodes, github = fleet(world, 5), GitHub()
        async with world.running(*nodes):
            await world.met(*nodes)
            name, caller, holder = os.urandom(32), object(), nodes[1]
            token = await holder.lead(name, SCOPE, caller=caller)
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                for node in (nodes[0], *nodes[2:]):
                    nursery.start_soon(github.ask, node, name, pointer)
                await trio.sleep(0.1)
                if how == "hangs":
                    holder.local.hung = 5.0
                elif how == "vanishes":
                    holder.mesh.leases.forsake(object())
                    holder.mesh.leases.forsake(caller)
                else:
                    holder.mesh.leases.abandon(token)
            assert trio.current_time() - began < 1.0
            assert github.calls == 1
            assert not holder.mesh.leases._claims

    run(test)


def test_an_arbiter_abandons_its_own_lease_too(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        hub, node = nodes = fleet(world, 2)
        github = GitHub()
        async with world.running(*nodes):
            await world.met(*nodes)
            name = os.urandom(32)
            token = await hub.lead(name, SCOPE)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(github.ask, node, name, pointer)
                await trio.sleep(0.1)
                assert github.calls == 0
                hub.mesh.leases.abandon(token)
                hub.mesh.leases.abandon(token)
            assert github.calls == 1

    run(test)


def test_another_scope_proves_once_what_the_first_one_left(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        nodes = fleet(world, 5)
        name = os.urandom(32)
        proofs = []

        async def prove(node: Node) -> None:
            token = await node.mesh.leases.acquire(name, OTHER)
            if not any(found.scope == OTHER for found in node.directory.find(name)):
                assert node.directory.find(name)
                proofs.append(node)
                await trio.sleep(0.05)
            if token is not None:
                node.mesh.leases.release(token, pointer(name=name, scope=OTHER))

        async with world.running(*nodes):
            await world.met(*nodes)
            async with trio.open_nursery() as nursery:
                token = await nodes[1].lead(name, SCOPE)
                for node in nodes[2:]:
                    nursery.start_soon(prove, node)
                await trio.sleep(0.1)
                nodes[1].mesh.leases.release(token, pointer(name=name))
        assert len(proofs) == 1

    run(test)


def test_a_lease_moves_to_the_next_member_when_the_hub_is_lost(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        hub, a, b = nodes = fleet(world, 3)
        async with world.running(*nodes):
            await world.met(*nodes)
            name = next(name for name in iter(lambda: os.urandom(32), b"") if choose(name, (a.peer, b.peer)) == b.peer)
            token = await a.lead(name, SCOPE)
            hub.die()
            await world.until(lambda: all(hub.peer not in node.mesh.members for node in (a, b)))
            await trio.sleep(0.1)
            waiting = []

            async def follow() -> None:
                waiting.append(await b.mesh.leases.acquire(name, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow)
                await trio.sleep(1.0)
                assert not waiting
                left = pointer(name=name)
                a.mesh.leases.release(token, left)
            assert waiting == [None]
            assert b.directory.find(name) == [left]

    run(test)


def test_members_that_leave_together_are_not_told_of_each_others_leases(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node, 30) as one, world.guest(node, 31) as two:
            await one.say(one.ask(1, b"r" * 32, SCOPE, node.peer))
            await one.hear(Grant)
            await two.say(two.ask(1, b"r" * 32, SCOPE, node.peer))
            await two.hear(Queued)
            first, second = (node.session(world.peer(number)) for number in (30, 31))
            for session in (first, second):
                node.mesh.members.leave(session, Ended(Reason.LEAVING))
            for session in (first, second):
                node.mesh.leases.on_leave(session)
            token = await node.mesh.leases.acquire(b"r" * 32, SCOPE)
            assert token is not None
            node.mesh.leases.release(token, None)

    run(test)


def test_what_is_left_is_what_was_asked_for(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        node, name = world.node(0), b"r" * 32
        async with world.running(node), world.guest(node, hub=True) as hub, world.guest(node, 31) as member:
            await member.say(member.ask(1, name, SCOPE, node.peer))
            await member.hear(Grant)
            other = pointer()
            await member.say(Release(1, wire(other)), Ping(5))
            await member.hear(Pong)
            assert not node.directory.find(other.name)
            got = []

            async def acquire() -> None:
                got.append(await node.mesh.leases.acquire(b"x" * 32, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                asked = await hub.hear(Acquire)
                await hub.say(Free(asked.id, wire(other), member.me.peer))
            await hub.say(Free(99, wire(other), member.me.peer), Ping(6))
            await hub.hear(Pong)
            assert not node.directory.find(other.name)

    run(test)
