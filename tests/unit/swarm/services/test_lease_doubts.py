"""Arbiters that do not answer, or claim what they cannot show."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import trio

from p2pcache.cache.arbiter import choose
from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.frames import Acquire, Free, Grant, Ping, Pong, Queued, Release
from tests.unit.swarm.conftest import Pointers, Run, World
from tests.unit.swarm.lab import OTHER, SCOPE, GitHub, burst, fleet, said, shown


def arbitrated_by(order: list[str], *others: str) -> bytes:
    """Return a resource of which these members are the arbiters, the next one where one is passed over."""
    while True:
        name, left = os.urandom(32), [*order, *others]
        for peer in order:
            if choose(name, left) != peer:
                break
            left.remove(peer)
        else:
            return name


def test_a_deaf_arbiter_is_passed_over_within_a_second(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        hub, node = world.node(0, hub=True), world.node(1, 0)
        async with world.running(hub, node):
            await world.met(hub, node)
            for link in world.net.links:
                link.deaf = True
            began = trio.current_time()
            token = await node.mesh.leases.acquire(os.urandom(32), SCOPE)
            assert token is not None
            assert trio.current_time() - began <= 1.0
            node.mesh.leases.release(token, None)

    run(test)


def test_a_late_word_of_the_arbiter_changes_nothing(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node, hub=True) as hub:
            await world.until(lambda: len(node.mesh.members) == 1)
            got = []

            async def acquire() -> None:
                got.append(await node.mesh.leases.acquire(b"r" * 32, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                asked = await hub.hear(Acquire)
            assert got not in ([asked.id], [None])
            assert (await hub.hear(Release)).id == asked.id
            await hub.say(said(asked.id, hub), Grant(asked.id, None, ""), Ping(1), said(99, hub))
            assert await hub.hear(Release) == Release(asked.id, None, undone=True), (
                "what nobody waits for is given back"
            )
            await hub.hear(Pong)
            [token] = got
            assert token is not None
            node.mesh.leases.release(token, None)
            assert not node.mesh.leases._claims

    run(test)


def test_two_arbiters_without_a_word_are_enough(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node, 30, hub=True), world.guest(node, 31, hub=True):
            await world.until(lambda: len(node.mesh.members) == 2)
            began = trio.current_time()
            token = await node.mesh.leases.acquire(b"r" * 32, SCOPE)
            assert token is not None
            assert trio.current_time() - began < 2.0
            node.mesh.leases.release(token, None)

    run(test)


def test_members_whose_hub_is_deaf_agree_on_another_arbiter(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        nodes, github = fleet(world, 6), GitHub()
        async with world.running(*nodes):
            await world.met(*nodes)
            for link in world.net.links:
                if link.owner == nodes[0].peer:
                    link.deaf = True
            await burst(world, nodes[1:], github, pointer)
        assert github.calls == 1

    run(test)


def test_what_an_arbiter_says_once_more_changes_nothing(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node, hub=True) as hub:
            await world.until(lambda: len(node.mesh.members) == 1)
            got = []

            async def acquire() -> None:
                got.append(await node.mesh.leases.acquire(b"r" * 32, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                asked = await hub.hear(Acquire)
                again = Queued(asked.id, world.peer(30), time.time(), bytes(64))
                await hub.say(Grant(asked.id, None, ""), Free(asked.id, None, ""), again, Ping(7))
                assert (await hub.hear(Pong)).id == 7  # all of that was dealt with
            assert got == [asked.id]
            node.mesh.leases.release(asked.id, None)
            assert (await hub.hear(Release)).id == asked.id

    run(test)


def test_an_arbiters_bare_word_is_believed_for_one_deadline(world: World, run: Run) -> None:
    async def test() -> None:
        node, name = world.node(0, limits=Limits(lease=100.0)), b"r" * 32
        async with world.running(node), world.guest(node, hub=True) as hub:
            await world.until(lambda: len(node.mesh.members) == 1)

            async def lie() -> None:
                while True:
                    asked = await hub.hear(Acquire)
                    await hub.say(said(asked.id, hub))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(lie)
                for turn in range(4):
                    began = trio.current_time()
                    token = await node.mesh.leases.acquire(name, SCOPE)
                    assert token is not None
                    took = trio.current_time() - began
                    assert took == pytest.approx(Limits().peer_deadline if turn < 3 else 0.0, abs=0.02)
                    node.mesh.leases.abandon(token)
                nursery.cancel_scope.cancel()

    run(test)


@pytest.mark.parametrize("skew", [0.0, 200.0])
def test_an_arbiter_that_shows_who_asks_is_believed(world: World, run: Run, skew: float) -> None:
    async def test() -> None:
        node, name, got = world.node(0, limits=Limits(lease=100.0, lease_silence=50.0)), b"r" * 32, []
        asker = world.identity(31)
        async with world.running(node), world.guest(node, hub=True) as hub, world.guest(node, 31, skew=skew):
            await world.until(lambda: len(node.mesh.members) == 2)

            async def acquire() -> None:
                got.append(await node.mesh.leases.acquire(name, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                asked = await hub.hear(Acquire)
                await hub.say(shown(asked.id, name, hub.me.peer, asker, -skew))
                await trio.sleep(3)
                assert got == []
                await hub.say(Free(asked.id, None, asker.peer))
            assert got == [None]

    run(test)


def test_of_two_who_say_that_they_ask_one_does(world: World, run: Run) -> None:
    """And what the doubted one says in the end counts."""

    async def test() -> None:
        node, got = world.node(0, limits=Limits(lease=100.0, lease_silence=50.0)), []
        async with world.running(node), world.guest(node, 30) as one, world.guest(node, 31) as other:
            await world.until(lambda: len(node.mesh.members) == 2)
            name = arbitrated_by([one.me.peer, other.me.peer], node.peer)

            async def acquire() -> None:
                got.append(await node.mesh.leases.acquire(name, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                first = await one.hear(Acquire)
                await one.say(said(first.id, one))
                second = await other.hear(Acquire)
                await other.say(said(second.id, other))
                await trio.sleep(3)
                assert got == []
                await one.say(Free(first.id, None, one.me.peer))
            assert got == [None]
            assert not node.mesh.leases._claims
            got.clear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                first = await one.hear(Acquire)
                await one.say(said(first.id, one))
                second = await other.hear(Acquire)
                await other.say(said(second.id, other))
                await trio.sleep(1)
                await one.say(Grant(first.id, None, ""))
                assert (await one.hear(Release)).undone
                assert got == []
                await other.say(Grant(second.id, None, ""), Free(second.id, None, ""))
            assert got == [second.id]
            node.mesh.leases.release(second.id, None)

    run(test)


def test_this_nodes_own_word_is_enough_for_it(world: World, run: Run) -> None:
    async def test() -> None:
        node, name, got = world.node(0, limits=Limits(lease=100.0, lease_silence=50.0)), b"r" * 32, []
        async with world.running(node), world.guest(node, hub=True) as hub:
            await world.until(lambda: len(node.mesh.members) == 1)

            async def acquire(scope: bytes) -> None:
                got.append(await node.mesh.leases.acquire(name, scope))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire, SCOPE)
                first = await hub.hear(Acquire)
                await hub.say(Grant(first.id, None, ""))
                await world.until(lambda: got)
                nursery.start_soon(acquire, OTHER)
                second = await hub.hear(Acquire)
                await hub.say(Queued(second.id, node.peer, time.time(), bytes(64)))
                await trio.sleep(2)
                assert got == [first.id]
                await hub.say(Free(second.id, None, node.peer))
            assert got == [first.id, None]
            node.mesh.leases.release(first.id, None)

    run(test)


def test_a_word_that_comes_when_it_does_not_matter_any_more(world: World, run: Run) -> None:
    async def test() -> None:
        node, got = world.node(0, limits=Limits(lease=100.0, lease_silence=50.0)), []
        async with world.running(node), world.guest(node, 30) as one, world.guest(node, 31) as other:
            await world.until(lambda: len(node.mesh.members) == 2)
            name = arbitrated_by([one.me.peer, other.me.peer], node.peer)

            async def acquire() -> None:
                got.append(await node.mesh.leases.acquire(name, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                first = await one.hear(Acquire)
                await one.say(said(first.id, one))
                await other.hear(Acquire)
                await trio.sleep(Limits().peer_deadline + 0.01)  # the other is passed over, and nobody is asked yet
                await one.say(Free(first.id, None, one.me.peer))
            assert got != [None]
            [token] = got
            assert token is not None
            node.mesh.leases.release(token, None)
            got.clear()
            name = arbitrated_by([one.me.peer], other.me.peer, node.peer)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                asked = await one.hear(Acquire)
                await one.say(Grant(asked.id, None, ""))
            await one.say(Free(asked.id, None, ""), Ping(5))
            await one.hear(Pong)
            assert got == [asked.id]
            assert asked.id in node.mesh.leases._claims
            node.mesh.leases.release(asked.id, None)

    run(test)


def test_a_doubted_arbiter_that_grants_while_the_next_is_asked(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node, 30, hub=True) as a, world.guest(node, 31, hub=True) as b:
            await world.until(lambda: len(node.mesh.members) == 2)
            given: list[int | None] = []
            asked: dict[Any, Acquire] = {}

            async def acquire() -> None:
                given.append(await node.mesh.leases.acquire(b"r" * 32, SCOPE))

            async def hear(guest: Any) -> None:
                asked[guest] = await guest.hear(Acquire)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(hear, a)
                nursery.start_soon(hear, b)
                nursery.start_soon(acquire)
                await world.until(lambda: asked)
                [first] = asked
                await first.say(said(asked[first].id, first))  # nothing to show: doubted after a deadline
                await world.until(lambda: len(asked) == 2)
                await first.say(Grant(asked[first].id, None, ""))  # and now it grants; the second never answers
            if given[0] is not None:
                node.mesh.leases.release(given[0], None)
            assert not node.mesh.leases._claims

    run(test)
