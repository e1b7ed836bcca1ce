"""Peers that know the secret and misbehave: each is limited or dropped with a reason, and nobody waits for it."""

from __future__ import annotations

import time

import pytest

from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.frames import Bye, Get, Ping
from p2pcache.swarm.rules.reasons import OURS, Reason
from p2pcache.swarm.services.session import Session
from tests.unit.swarm.conftest import Pointers, Run, World
from tests.unit.swarm.lab import have, rows


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"\xff" * 8, Reason.GARBAGE), (b"\x00\x00\x00\x02\xc1\xc1", Reason.GARBAGE)],
    ids=["oversized", "garbage"],
)
def test_garbage_drops_the_peer_with_a_reason(world: World, run: Run, said: bytes, reason: Reason) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            await world.until(lambda: len(node.mesh.members) == 1)
            await guest.link.write(said)
            assert (await guest.hear(Bye)).reason == reason
            await world.until(lambda: len(node.mesh.members) == 0)
            row = rows(node)[world.peer(30)]
            assert (row.state, row.reason) == ("dropped", OURS[reason])
            assert node.mesh.members.counters["garbage"] == 1
            assert node.local.warnings == [f"a peer at /ip4/10.0.0.99/tcp/40000 was dropped: {OURS[reason]}"]

    run(test)


def test_a_flood_of_announcements_drops_the_flooder_and_leaves_the_others_alone(
    world: World, run: Run, pointer: Pointers
) -> None:
    async def test() -> None:
        node, good = world.node(0, limits=Limits(announce_rate=10, announce_burst=20_000)), world.node(1, 0)
        held, _ = good.local.hold()
        async with world.running(node, good), world.guest(node) as guest:
            await world.until(lambda: node.directory.find(held.name))
            for _ in range(10):
                await guest.say(have(*(pointer() for _ in range(20))))
            assert (await guest.hear(Bye)).reason == Reason.FLOOD
            assert node.directory.find(held.name)
            await world.until(lambda: len(node.directory) == 1)

    run(test)


def test_a_flood_of_pings_drops_the_flooder_and_leaves_the_others_alone(world: World, run: Run) -> None:
    async def test() -> None:
        node, good = world.node(0), world.node(1, 0)
        async with world.running(node, good), world.guest(node, hub=True) as guest:  # it says so; it gains nothing
            await world.until(lambda: len(node.mesh.members) == 2)
            for number in range(node.mesh.members.limits.request_burst + 1_000):
                await guest.say(Ping(number))
            assert (await guest.hear(Bye)).reason == Reason.FLOOD
            await world.until(lambda: [session.peer for session in node.mesh.members] == [good.peer])

    run(test)


def test_a_fault_of_our_own_ends_one_session_only(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        node, good = world.node(0), world.node(1, 0)
        async with world.running(node, good), world.guest(node) as guest:
            await world.until(lambda: len(node.mesh.members) == 2)

            def broken(session: Session, frame: Get) -> None:
                raise ZeroDivisionError

            monkeypatch.setattr(node.mesh.blocks, "on_get", broken)
            await guest.say(Get(1, b"c" * 36))
            await world.until(lambda: len(node.mesh.members) == 1)
            assert node.local.warnings == ["the session with a peer ended by an internal error (ZeroDivisionError)"]
            assert node.mesh.members.counters["internal"] == 1

    run(test)


def test_the_same_complaint_is_made_once(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node):
            for _ in range(3):
                async with world.guest(node) as guest:
                    await guest.link.write(b"\xff" * 8)
                    await guest.hear(Bye)
            assert len(node.local.warnings) == 1

    run(test)


def test_skew_is_corrected_on_arrival(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node, skew=200.0) as ahead:
            theirs = pointer(proved_at=time.time() + 190, expires_at=time.time() + 250)
            await ahead.say(have(theirs))
            await world.until(lambda: node.directory.find(theirs.name))
            [seen] = node.directory.find(theirs.name)
            assert seen.proved_at == pytest.approx(time.time() - 10, abs=1.0)
            assert seen.expires_at == pytest.approx(time.time() + 50, abs=1.0)

    run(test)


def test_a_drop_flood_is_acknowledged_and_bounded(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0, limits=Limits(drops_bytes=4 * 465 * 50))
        async with world.running(node), world.guest(node) as guest:
            for serial in range(200):
                await guest.say(guest.drop(serial, serial, 0.0, (serial.to_bytes(16, "big"),)))
            await world.until(lambda: len(node.local.drops) == 200)
            assert len(list(node.mesh.invalidations._log.recent(time.time()))) == 50

    run(test)
