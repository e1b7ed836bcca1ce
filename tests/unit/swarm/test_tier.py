"""The swarm as the library sees it: a tier, and leases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
import trio

from p2pcache.cache.tiers import Freed
from p2pcache.swarm import Limits, Swarm
from tests.unit.swarm.conftest import Blocks, Configs, Pointers
from tests.unit.swarm.lab import SCOPE, TOPIC, Store, running, until


async def test_a_block_announced_here_is_found_and_fetched_there(
    config: Configs, block: Blocks, pointer: Pointers
) -> None:
    async with running(config("a"), config("b")) as [(node, a), (_, b)]:
        cid, sealed = block(1000)
        held = pointer(cid, 1000)
        node.blocks[cid] = sealed
        await a.tier.store(held, sealed)
        assert await until(lambda: b.tier.find(held.name)) == [held]
        assert await b.tier.block(held) == sealed
        assert a.tier.backend.detail == "peer"
        [row] = b.peers()
        assert (row.peer_id, row.blocks_in, row.announced, row.via) == (a.peer_id, 1, 1, "direct")
        assert b.counters() == {}


async def test_what_nobody_holds_costs_no_round_trip(config: Configs, pointer: Pointers) -> None:
    async with running(config("a"), config("b")) as [_, (_, b)]:
        assert await b.tier.find(b"x" * 32) == []
        assert await b.tier.block(pointer()) is None
        assert b.counters() == {}


async def test_a_drop_has_been_heard_when_it_returns(config: Configs) -> None:
    patient = Limits(drop_timeout=10.0)
    async with running(config("a", limits=patient), config("b")) as [(_, a), (node, _)]:
        await a.tier.drop({TOPIC}, SCOPE)
        assert node.drops == [((TOPIC,), SCOPE)]


async def test_one_leads_and_the_others_follow(config: Configs, pointer: Pointers) -> None:
    async with running(config("a"), config("b")) as [(_, a), (_, b)]:
        lease = await a.leases.acquire(b"r" * 32, SCOPE)
        assert not isinstance(lease, Freed)
        follower = asyncio.ensure_future(b.leases.acquire(b"r" * 32, SCOPE))
        await asyncio.sleep(0.05)
        assert not follower.done()
        left = pointer(name=b"r" * 32)
        await lease.release(left)
        assert await asyncio.wait_for(follower, 1) == Freed()
        assert await b.tier.find(b"r" * 32) == [left]


async def test_who_abandons_a_lease_or_vanishes_lets_the_next_one_lead(config: Configs) -> None:
    async with running(config("a"), config("b")) as [(_, a), (_, b)]:
        leading = await a.leases.acquire(b"r" * 32, SCOPE)
        assert not isinstance(leading, Freed)
        following = asyncio.ensure_future(b.leases.acquire(b"r" * 32, SCOPE))
        await asyncio.sleep(0.05)
        assert not following.done()
        await leading.abandon()
        assert await asyncio.wait_for(following, 1) != Freed()
        waiting = asyncio.ensure_future(a.leases.acquire(b"r" * 32, SCOPE))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        led = await following
        assert not isinstance(led, Freed)
        await led.release(None)
        assert await asyncio.wait_for(b.leases.acquire(b"r" * 32, SCOPE), 1) != Freed()


async def test_without_peers_everything_is_answered_at_once(config: Configs, pointer: Pointers) -> None:
    async with running(config("a")) as [(_, alone)]:
        began = time.perf_counter()
        lease = await alone.leases.acquire(b"r" * 32, SCOPE)
        assert not isinstance(lease, Freed)
        await lease.release(None)
        await lease.abandon()
        assert await alone.tier.block(pointer()) is None
        await alone.tier.drop([TOPIC])
        assert time.perf_counter() - began < 0.1
        assert not await alone.connected(1, 0.01)


async def test_before_the_start_and_after_the_stop_it_is_an_empty_tier(config: Configs, pointer: Pointers) -> None:
    node = Store()
    made = Swarm(config("a"), node, node)

    async def empty() -> None:
        assert await made.tier.find(b"x" * 32) == []
        assert await made.tier.block(pointer()) is None
        await made.tier.store(pointer(), b"")
        await made.tier.drop([TOPIC])
        lease = await made.leases.acquire(b"r" * 32, SCOPE)
        assert not isinstance(lease, Freed)
        await lease.release(None)
        made.publish_quota(SCOPE, b"")

    await empty()
    assert made.peers() == []
    assert made.counters() == made.activity() == {}
    assert made.explain(b"r" * 32, b"c", 0.0) == []
    assert made.alone_for() == 0
    await made.start()
    await made.stop()
    await made.stop()
    await empty()
    assert node.warnings == []


@pytest.mark.parametrize("end", [Swarm.stop, lambda swarm: swarm._bridge.stop(3)], ids=["stops", "dies"])
async def test_a_swarm_that_ends_meanwhile_answers_nothing(
    config: Configs, pointer: Pointers, block: Blocks, end: Callable[[Swarm], Awaitable[None]]
) -> None:
    async with running(config("a"), config("b")) as [(_, a), (_, b)]:
        held = pointer()
        await a.tier.store(held, b"")
        await until(lambda: b.tier.find(held.name))
        lease = await a.leases.acquire(b"r" * 32, SCOPE)
        assert not isinstance(lease, Freed)
        waiting = asyncio.ensure_future(b.leases.acquire(b"r" * 32, SCOPE))
        await asyncio.sleep(0.05)
        await end(b)
        assert await asyncio.wait_for(waiting, 1) != Freed()
        assert await b.tier.block(held) is None
        assert lease is not None


async def test_a_starved_swarm_does_not_hold_writers_up(config: Configs, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(config("a")) as [(_, a)]:

        async def stuck(*_: object) -> None:
            await trio.sleep(5)

        assert a._mesh is not None
        monkeypatch.setattr(a._mesh.invalidations, "drop", stuck)
        began = time.perf_counter()
        await a.tier.drop([TOPIC])
        assert time.perf_counter() - began < 0.5


async def test_an_announcement_that_outlives_the_swarm_is_worth_nothing(config: Configs, pointer: Pointers) -> None:
    async with running(config("a")) as [(_, a)]:
        await a.stop()
        held = pointer()
        a._directory.add(held, "a peer")
        assert await a.tier.find(held.name) == [held]
        assert await a.tier.block(held) is None
