from __future__ import annotations

import asyncio

import pytest

from p2pcache.cache.leases import LocalLease, LocalLeases
from p2pcache.cache.tiers import Freed
from p2pcache.testing.conformance import LeasesConformance

R, S = b"resource", b"scope"


@pytest.fixture
def leases() -> LocalLeases[str]:
    return LocalLeases(patience=30)


async def held(leases: LocalLeases[str]) -> LocalLease[str]:
    got = await leases.acquire(R, S)
    assert isinstance(got, LocalLease)
    return got


async def waiting(leases: LocalLeases[str], scope: bytes = S) -> asyncio.Task[LocalLease[str] | Freed[str]]:
    task = asyncio.create_task(leases.acquire(R, scope))
    await asyncio.sleep(0)
    return task


class TestContract(LeasesConformance):
    @pytest.fixture
    def members(self, leases: LocalLeases[str]) -> tuple[LocalLeases[str], LocalLeases[str]]:
        return leases, leases

    @pytest.fixture
    def left(self) -> str:
        return "an answer"


async def test_what_was_left_is_handed_to_all_of_the_scope(leases: LocalLeases[str]) -> None:
    lease = await held(leases)
    assert not lease.waited
    tasks = [await waiting(leases) for _ in range(20)]
    await lease.release("an answer")
    assert await asyncio.gather(*tasks) == [Freed("an answer")] * 20
    assert len(leases) == 0


async def test_and_to_none_that_comes_later(leases: LocalLeases[str]) -> None:
    await (await held(leases)).release("an answer")
    assert not (await held(leases)).waited


async def test_each_other_scope_has_one_holder(leases: LocalLeases[str]) -> None:
    lease = await held(leases)
    tasks = [await waiting(leases, scope) for scope in (b"b", b"c", b"b")]
    await lease.release("an answer")
    second, third = await tasks[0], await tasks[1]
    assert isinstance(second, LocalLease)
    assert isinstance(third, LocalLease)
    assert not tasks[2].done()
    await second.release("proved")
    assert await tasks[2] == Freed("proved")


async def test_one_out_of_patience_works_beside_the_holder() -> None:
    leases: LocalLeases[str] = LocalLeases(patience=0.01)
    lease = await held(leases)
    beside = await held(leases)
    assert beside.waited
    await beside.release("its own")
    later = await waiting(leases)
    await lease.release("late")
    assert await later == Freed("late")
    assert len(leases) == 0


async def test_one_that_is_cancelled_as_its_turn_comes_passes_it_on(leases: LocalLeases[str]) -> None:
    lease = await held(leases)
    first, second = await waiting(leases), await waiting(leases)
    first.cancel()
    await lease.abandon()
    with pytest.raises(asyncio.CancelledError):
        await first
    after = await second
    assert isinstance(after, LocalLease)
    await after.release(None)
    assert len(leases) == 0


async def test_callers_are_bounded() -> None:
    leases: LocalLeases[str] = LocalLeases(patience=30, limit=2)
    lease = await held(leases)
    task = await waiting(leases)
    assert not (await held(leases)).waited
    await lease.release("an answer")
    assert await task == Freed("an answer")


async def test_as_many_callers_as_the_gateway_lets_in_are_within_the_bound() -> None:
    leases: LocalLeases[str] = LocalLeases(patience=30)
    lease = await held(leases)
    tasks = [asyncio.create_task(leases.acquire(R, S)) for _ in range(8192)]
    await asyncio.sleep(0)
    await lease.release("an answer")
    assert set(await asyncio.gather(*tasks)) == {Freed("an answer")}
