"""Nodes meeting, in memory."""

from __future__ import annotations

import os

import pytest
import trio

from p2pcache.cache.arbiter import choose
from p2pcache.swarm import SwarmError
from tests.unit.swarm.conftest import Run, World


def test_two_nodes_prove_themselves_and_share_a_block(world: World, run: Run) -> None:
    async def test() -> None:
        a, b = world.node(0), world.node(1, 0)
        held, sealed = a.local.hold()
        async with world.running(a, b):
            await world.met(a, b)
            await world.until(lambda: b.directory.find(held.name))
            assert b.directory.find(held.name) == [held]
            assert await b.mesh.blocks.fetch(held.cid) == sealed

    run(test)


def test_an_announcement_reaches_every_member(world: World, run: Run) -> None:
    async def test() -> None:
        hub, *rest = world.node(0, hub=True), *(world.node(n, 0) for n in range(1, 6))
        async with world.running(hub, *rest):
            await world.met(hub, *rest)
            pointer, _ = rest[0].local.hold()
            rest[0].mesh.blocks.announce([pointer])
            await world.until(lambda: all(node.directory.find(pointer.name) for node in (hub, *rest[1:])))

    run(test)


def test_a_hub_keeps_what_it_sees_and_serves_it_after_its_source_died(world: World, run: Run) -> None:
    async def test() -> None:
        hub, a, b = world.node(0, hub=True), world.node(1, 0), world.node(2, 0)
        held, sealed = a.local.hold()
        async with world.running(hub, a, b):
            await world.met(hub, a, b)
            await world.until(lambda: hub.local.kept and b.directory.find(held.name))
            a.die()
            await world.until(lambda: a.peer not in b.mesh.members)
            await world.until(lambda: b.directory.find(held.name))
            assert await b.mesh.blocks.fetch(held.cid) == sealed

    run(test)


def test_a_member_that_cannot_be_dialled_is_served_through_the_hub(world: World, run: Run) -> None:
    async def test() -> None:
        hub, a, b = world.node(0, hub=True), world.node(1, 0), world.node(2, 0)
        world.net.unreachable = {a.peer, b.peer}
        hub.mesh.blocks._keeping = type(hub.mesh.blocks._keeping)(maxlen=0)  # a hub that never gets to keeping
        held, sealed = a.local.hold()
        async with world.running(hub, a, b):
            await world.until(lambda: b.directory.find(held.name))
            assert held.cid not in hub.local.blocks
            assert await b.mesh.blocks.fetch(held.cid) == sealed
            rows = {row.peer_id: row for row in b.mesh.members.rows(b.directory.announced)}
            assert rows[a.peer].via == "hub"
            assert rows[hub.peer].state == "hub"

    run(test)


def test_a_hub_that_is_lost_at_once_leaves_members_that_find_each_other_within_seconds(world: World, run: Run) -> None:
    async def test() -> None:
        hub, *rest = world.node(0, hub=True), *(world.node(n, 0) for n in range(1, 9))
        async with world.running(hub, *rest):
            await world.until(lambda: all(len(node.mesh.book) == len(rest) for node in rest), seconds=0.4)
            hub.die()
            await world.until(lambda: all(len(node.mesh.members) == len(rest) - 1 for node in rest), seconds=3.0)

    run(test)


def test_losing_the_hub_leaves_the_members_linked(world: World, run: Run) -> None:
    async def test() -> None:
        hub, a, b = world.node(0, hub=True), world.node(1, 0), world.node(2, 0)
        async with world.running(hub, a, b) as nursery:
            await world.met(hub, a, b)
            hub.die()
            await world.until(lambda: len(a.mesh.members) == len(b.mesh.members) == 1)
            pointer, sealed = a.local.hold()
            a.mesh.blocks.announce([pointer])
            await world.until(lambda: b.directory.find(pointer.name))
            assert await b.mesh.blocks.fetch(pointer.cid) == sealed
            again = world.node(0, hub=True)
            nursery.start_soon(again.run)
            began = trio.current_time()
            await world.met(again, a, b)
            assert trio.current_time() - began < 5

    run(test)


def test_without_a_hub_an_arbiter_passes_on_what_it_told_of(world: World, run: Run) -> None:
    async def test() -> None:
        arbiter, a, b = world.node(0), world.node(1, 0), world.node(2, 0)
        world.net.unreachable = {a.peer, b.peer}
        async with world.running(arbiter, a, b):
            await world.until(lambda: len(arbiter.mesh.members) == 2)
            peers = [arbiter.peer, a.peer, b.peer]
            name = next(n for n in (os.urandom(32) for _ in range(200)) if choose(n, peers) == arbiter.peer)
            held, sealed = a.local.hold(name=name)
            token = await a.lead(name, held.scope)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(b.mesh.leases.acquire, name, held.scope)
                await trio.sleep(0.1)
                a.mesh.leases.release(token, held)
            assert set(b.directory.holders(held.cid)) == {arbiter.peer}
            assert await b.mesh.blocks.fetch(held.cid) == sealed
            assert held.cid not in arbiter.local.blocks

    run(test)


def test_callers_for_one_block_share_one_transfer(world: World, run: Run) -> None:
    async def test() -> None:
        a, b = world.node(0), world.node(1, 0)
        held, sealed = a.local.hold()
        async with world.running(a, b):
            await world.until(lambda: b.directory.find(held.name))
            got = []

            async def fetch() -> None:
                got.append(await b.mesh.blocks.fetch(held.cid))

            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(fetch)
            assert got == [sealed] * 5
            assert b.session(a.peer).blocks_in == 1

    run(test)


def test_a_member_whose_port_is_taken_takes_another_and_says_so_in_one_line(world: World, run: Run) -> None:
    async def test() -> None:
        first, second = world.node(0), world.node(1, 0, listen=world.address(0), announce=("/ip4/192.0.2.1/tcp/9000",))
        async with world.running(first, second):
            await world.met(first, second)
            assert second.mesh.port == 9001
            assert second.told == (f"/ip4/10.0.0.1/tcp/9001/p2p/{second.peer}",), "what was to be announced is lost too"
            [said] = second.local.warnings
            assert said == "/ip4/10.0.0.1/tcp/9000 cannot be had: the swarm listens on /ip4/10.0.0.1/tcp/9001 instead"
            assert first.mesh.port == 9000

    run(test)


def test_a_hub_whose_port_is_taken_is_none(world: World, run: Run) -> None:
    async def test() -> None:
        async with world.running(world.node(0)):
            hub = world.node(1, hub=True, listen=world.address(0))
            with pytest.raises(SwarmError, match="cannot listen on"):
                await hub.mesh.run(lambda _: pytest.fail("it started"))

    run(test)
