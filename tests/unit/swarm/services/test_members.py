"""The open sessions: how many, which of two stays, and what is queued for each."""

from __future__ import annotations

import pytest
import trio

from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.frames import Bye, Ping, Pong
from p2pcache.swarm.rules.reasons import OURS, Reason
from tests.unit.swarm.conftest import Run, World
from tests.unit.swarm.lab import rows


def test_a_peer_that_never_reads_does_not_hold_up_the_others(world: World, run: Run) -> None:
    async def test() -> None:
        node, good = world.node(0, limits=Limits(queue=50_000)), world.node(1, 0)
        async with world.running(node, good), world.guest(node):
            await world.until(lambda: len(node.mesh.members) == 2)
            for link in world.net.links:
                if link.peer == world.peer(30):
                    link.deaf = True
            for _ in range(20):
                pointers = [node.local.hold()[0] for _ in range(50)]
                node.mesh.blocks.announce(pointers)
                await world.until(lambda last=pointers[-1]: good.directory.find(last.name))
            await world.until(lambda: len(node.mesh.members) == 1)
            assert rows(node)[world.peer(30)].reason == OURS[Reason.DEAF]

    run(test)


def test_as_many_members_as_there_is_room_for(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0, limits=Limits(members=2))
        async with world.running(node), world.guest(node, 30), world.guest(node, 31):
            await world.until(lambda: len(node.mesh.members) == 2)
            async with world.guest(node, 32) as third:
                assert (await third.hear(Bye)).reason == Reason.FULL
            assert rows(node)[world.peer(32)].state == "refused"
            assert "as many members" in node.local.warnings[0]

    run(test)


def test_a_member_that_comes_again_replaces_its_older_connection(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node, 30) as old:
            await world.until(lambda: len(node.mesh.members) == 1)
            first = node.session(world.peer(30))
            async with world.guest(node, 30) as new:
                assert (await old.hear(Bye)).reason == Reason.DUPLICATE
                await world.until(lambda: first.closed.is_set())
                await new.say(Ping(5))
                assert (await new.hear(Pong)).id == 5
                assert len(node.mesh.members) == 1

    run(test)


@pytest.mark.parametrize("smaller", [True, False])
def test_of_two_connections_dialled_at_once_both_sides_keep_the_same(world: World, run: Run, smaller: bool) -> None:
    async def test() -> None:
        node = world.node(10)
        number = 5 if smaller else 20
        other = world.node(number)
        async with world.running(node, other) as nursery:
            nursery.start_soon(other.mesh.dialer.bootstrap, node.address)
            nursery.start_soon(node.mesh.dialer.bootstrap, other.address)
            await trio.sleep(5)
            assert len(node.mesh.members) == len(other.mesh.members) == 1
            kept = node.session(other.peer)
            assert kept.link.dialled == (not smaller)
            assert not node.local.warnings
            assert {row.state for row in node.mesh.members.rows(node.directory.announced)} == {"member"}

    run(test)


def test_hints_do_not_bring_a_peer_that_is_behind_to_where_it_is_dropped(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0, limits=Limits(queue=50_000, write_timeout=1000.0, ping_interval=500.0))
        async with world.running(node), world.guest(node):
            await world.until(lambda: len(node.mesh.members) == 1)
            for link in world.net.links:
                if link.peer == world.peer(30):
                    link.deaf = True
            for _ in range(20):
                node.mesh.members.hint(b"x" * 10_000, 0)
            assert len(node.mesh.members) == 1
            assert node.mesh.members.counters["hints_skipped"] > 10

    run(test)
