"""Invalidation reaches all members before the writer goes on, and those that were cut off when they come back."""

from __future__ import annotations

import math
import time

import pytest
import trio

from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.frames import Ack, Bye
from p2pcache.swarm.rules.reasons import Reason
from p2pcache.swarm.services import invalidations as drops
from tests.unit.swarm.conftest import Run, World

TOPIC = b"t" * 16


def test_everybody_has_forgotten_when_the_writer_goes_on(world: World, run: Run) -> None:
    async def test() -> None:
        hub, a, b = world.node(0, hub=True), world.node(1, 0), world.node(2, 0)
        held, _ = a.local.hold(proved_at=time.time() - 1)
        async with world.running(hub, a, b):
            await world.met(hub, a, b)
            await world.until(lambda: b.directory.find(held.name) and hub.directory.find(held.name))
            await b.mesh.invalidations.drop([TOPIC], None)
            assert a.local.drops == hub.local.drops == [((TOPIC,), None)]
            assert b.local.drops == []
            assert not any(node.directory.find(held.name) for node in (hub, a, b))

    run(test)


def test_a_member_behind_the_hub_is_reached_through_it_once(world: World, run: Run) -> None:
    async def test() -> None:
        hub, a, b = world.node(0, hub=True), world.node(1, 0), world.node(2, 0)
        world.net.unreachable = {a.peer, b.peer}
        async with world.running(hub, a, b):
            await world.met(a, b, links=1)
            await world.until(lambda: len(hub.mesh.members) == 2)
            await a.mesh.invalidations.drop([TOPIC], b"s" * 16)
            assert b.local.drops == [((TOPIC,), b"s" * 16)]
            assert a.local.drops == []

    run(test)


def test_a_member_that_does_not_acknowledge_costs_a_tenth_of_a_second(world: World, run: Run) -> None:
    async def test() -> None:
        node, good = world.node(0), world.node(1, 0)
        async with world.running(node, good), world.guest(node):
            await world.until(lambda: len(node.mesh.members) == 2)
            began = trio.current_time()
            await node.mesh.invalidations.drop([TOPIC], None)
            assert trio.current_time() - began <= 0.1
            assert good.local.drops
            assert node.mesh.members.counters["drop_unacknowledged"] == 1

    run(test)


def test_more_topics_than_a_frame_holds(world: World, run: Run) -> None:
    async def test() -> None:
        a, b = world.node(0), world.node(1, 0)
        async with world.running(a, b):
            await world.met(a, b)
            topics = [number.to_bytes(16, "big") for number in range(600)]
            await a.mesh.invalidations.drop(topics, None)
            assert {topic for done, _ in b.local.drops for topic in done} == set(topics)

    run(test)


def test_who_was_cut_off_learns_on_reconnecting_and_keeps_what_is_newer(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        a, b = world.node(0), world.node(1, 0)
        held, _ = a.local.hold(proved_at=time.time() - 20)
        async with world.running(a, b):
            await world.met(a, b)
            await world.until(lambda: b.directory.find(held.name))
            world.net.unreachable = {a.peer, b.peer}
            world.net.cut(b.peer)
            await world.until(lambda: len(a.mesh.members) == 0)
            with monkeypatch.context() as ago:
                ago.setattr(drops, "unix_time", lambda: time.time() - 10)
                await a.mesh.invalidations.drop([TOPIC], None)
            newer, _ = a.local.hold(proved_at=time.time() - 5)
            world.net.unreachable = set()
            await world.met(a, b)
            await world.until(lambda: b.directory.find(newer.name))
            assert b.local.drops == [((TOPIC,), None)]
            assert not b.directory.find(held.name)

    run(test)


def test_the_same_invalidation_twice_is_done_once_and_acknowledged_twice(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            await guest.say(*(guest.drop(token, 7, 0.5, (TOPIC,)) for token in (1, 2)))
            assert {(await guest.hear(Ack)).id, (await guest.hear(Ack)).id} == {1, 2}
            assert len(node.local.drops) == 1

    run(test)


def test_a_hub_goes_on_after_its_members_have(world: World, run: Run) -> None:
    """The acknowledgement of a hub means that those behind it have forgotten, too."""

    async def test() -> None:
        hub, a, b = world.node(0, hub=True), world.node(1, 0), world.node(2, 0)
        world.net.unreachable = {a.peer, b.peer}
        b.local.stall = 0.05
        async with world.running(hub, a, b):
            await world.until(lambda: len(hub.mesh.members) == 2)
            began = trio.current_time()
            await a.mesh.invalidations.drop([TOPIC], None)
            assert b.local.drops
            assert 0.05 <= trio.current_time() - began < 0.1

    run(test)


def test_what_is_being_forgotten_is_forgotten_although_the_session_ends_meanwhile(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        node.local.stall = 0.5
        async with world.running(node):
            async with world.guest(node) as guest:
                await guest.say(guest.drop(1, 7, 0.0, (TOPIC,)))
                await world.until(lambda: list(node.mesh.invalidations._log.recent(time.time())))
            await world.until(lambda: len(node.mesh.members) == 0)
            assert node.local.drops == [((TOPIC,), None)]

    run(test)


@pytest.mark.parametrize(("age", "ago"), [(0.0, -math.inf), (0.7, -math.inf), (60.0, 59.0)])
def test_what_was_dropped_a_while_ago_leaves_what_was_proved_since(
    world: World, run: Run, age: float, ago: float
) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            await guest.say(guest.drop(1, 7, age, (TOPIC,)))
            await guest.hear(Ack)
            assert node.local.dropped_until == pytest.approx(time.time() - ago, abs=0.5)

    run(test)


def test_what_another_has_not_signed_is_not_done_and_ends_the_session(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            forged = guest.drop(1, 7, 0.0, (TOPIC,))
            forged.origin = world.peer(31)
            await guest.say(forged)
            assert (await guest.hear(Bye)).reason == Reason.GARBAGE
            assert node.local.drops == []

    run(test)


def test_who_brings_the_drops_of_members_nobody_has_met_pays_for_their_room(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0, limits=Limits(drops_bytes=4 * 465 * 3))
        async with world.running(node), world.guest(node, 30) as guest, world.guest(node, 31) as honest:
            await honest.say(honest.drop(1, 1, 0.0, (TOPIC,)))
            await honest.hear(Ack)
            for number in range(10):
                guest.me = world.identity(number)
                await guest.say(guest.drop(number, number, 0.0, (TOPIC,)))
            for _ in range(10):
                await guest.hear(Ack)
            kept = [drop.origin for drop in node.mesh.invalidations._log.recent(time.time())]
            assert len(kept) == 4
            assert world.peer(31) in kept

    run(test)
