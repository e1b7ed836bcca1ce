from __future__ import annotations

import asyncio

import pytest

from p2pcache.cache.entry import CID_PREFIX, Pointer
from p2pcache.cache.tiers import Freed, Leases, Tier
from p2pcache.testing import MemorySwarm
from p2pcache.testing.conformance import LeasesConformance


def pointer(name: bytes = b"n", scope: bytes = b"s", topics: tuple[bytes, ...] = (b"t",), at: float = 0.0) -> Pointer:
    return Pointer(
        name=name, scope=scope, cid=CID_PREFIX + name, etag=None, last_modified=None, link=None, lifetime="normal",
        proved_at=at, expires_at=at + 60, cost_ms=1, size=5, by="", topics=topics,
    )  # fmt: skip


async def test_what_one_stores_the_others_find() -> None:
    swarm = MemorySwarm()
    one, two = swarm.join(), swarm.join()
    tier: Tier = two.tier
    await one.tier.store(pointer(), b"block")
    assert await tier.find(b"n") == [pointer()]
    assert await tier.block(pointer()) == b"block"
    assert await one.tier.find(b"n") == []
    assert await tier.find(b"other") == []
    assert one.moved == 1


async def test_the_newest_pointer_of_a_scope_is_found() -> None:
    swarm = MemorySwarm()
    one, two, three = swarm.join(), swarm.join(), swarm.join()
    await one.tier.store(pointer(at=2), b"block")
    await two.tier.store(pointer(at=1), b"block")
    assert [found.proved_at for found in await three.tier.find(b"n")] == [2]


async def test_the_dead_give_nothing() -> None:
    swarm = MemorySwarm(deadline=0.01)
    one, two = swarm.join(), swarm.join()
    await one.tier.store(pointer(), b"block")
    one.die(noticed=False)
    assert await two.tier.find(b"n") == [pointer()]
    assert await two.tier.block(pointer()) is None
    one.die()
    assert await two.tier.find(b"n") == []


async def test_the_slow_miss_the_deadline_and_the_corrupt_lie() -> None:
    swarm = MemorySwarm(deadline=0.01)
    one, two = swarm.join(), swarm.join()
    await one.tier.store(pointer(), b"block")
    one.corrupt = True
    assert await two.tier.block(pointer()) not in {None, b"block"}
    one.delay = 10
    assert await two.tier.block(pointer()) is None


async def test_a_drop_is_felt_everywhere() -> None:
    swarm = MemorySwarm()
    one, two, three = swarm.join(), swarm.join(), swarm.join()
    await one.tier.store(pointer(), b"block")
    await one.tier.store(pointer(scope=b"z"), b"block")
    await two.tier.drop([b"t"], scope=b"s")
    assert [found.scope for found in await three.tier.find(b"n")] == [b"z"]
    await two.tier.drop([b"unrelated"])
    assert await three.tier.find(b"n")
    await two.tier.drop([b"t"])
    assert await three.tier.find(b"n") == []


class TestLeases(LeasesConformance):
    @pytest.fixture
    def members(self) -> tuple[Leases[Pointer], Leases[Pointer]]:
        swarm = MemorySwarm()
        return swarm.join().leases, swarm.join().leases

    @pytest.fixture
    def left(self) -> Pointer:
        return pointer()


async def test_a_death_gives_the_lease_to_the_next() -> None:
    swarm = MemorySwarm()
    one, two = swarm.join(), swarm.join()
    assert not isinstance(await one.leases.acquire(b"n", b"s"), Freed)
    waiting = asyncio.create_task(two.leases.acquire(b"n", b"s"))
    await asyncio.sleep(0)
    one.die()
    assert not isinstance(await waiting, Freed)


async def test_those_that_were_left_nothing_do_not_wait_again() -> None:
    swarm = MemorySwarm()
    one, two = swarm.join(), swarm.join()
    held = await one.leases.acquire(b"n", b"s")
    assert not isinstance(held, Freed)
    waiting = asyncio.create_task(two.leases.acquire(b"n", b"s"))
    await asyncio.sleep(0)
    await held.release(None)
    assert await waiting == Freed()
    assert await two.leases.acquire(b"n", b"s", again=True) == Freed()


async def test_the_revived_give_again() -> None:
    swarm = MemorySwarm()
    one, two = swarm.join(), swarm.join("two")
    await one.tier.store(pointer(), b"block")
    one.die()
    assert await two.tier.block(pointer()) is None
    one.revive()
    assert await two.tier.block(pointer()) == b"block"
    assert [peer.name for peer in swarm.peers] == ["peer-1", "two"]
