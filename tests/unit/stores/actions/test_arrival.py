"""Jobs of a run that wait for the pack of the one that asks: who waits, for how long, and what it is good for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from p2pcache.stores.actions.awaiting import ALL_SECONDS, EACH_SECONDS
from p2pcache.stores.actions.cache_service import DeniedError, LimitedError, ServiceError
from p2pcache.stores.actions.pack_tier import PackTier
from p2pcache.testing.actions_cache import READ, WRITE, ActionsCache, runtime_token
from p2pcache.testing.conformance import KEYRING, make
from p2pcache.values import Secret
from tests.support import virtual_time
from tests.support.distant_cache import DistantCache, connecting

MAIN = "refs/heads/main"
NAME = make().pointer.name


class Job:
    def __init__(self, cache: ActionsCache, *, run: str = "run-1", permission: int = READ | WRITE) -> None:
        self.service = DistantCache(cache, {MAIN: permission})
        self.now = asyncio.get_running_loop().time
        self.tier = PackTier(KEYRING, connect=connecting(self.service), clock=lambda: 5000.0, jitter=lambda: 0.5)
        self.token = Secret(runtime_token("1", {MAIN: permission}, run))

    async def begin(self) -> Job:
        await self.tier.authorize("u", self.token)
        await asyncio.sleep(1)
        return self

    async def waits(self) -> tuple[bool, float]:
        """Whether it came, and after how many seconds."""
        begun = self.now()
        return await self.tier.arrival(NAME), self.now() - begun


def virtually(test: Callable[[ActionsCache], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(ActionsCache(asyncio.get_running_loop().time))

    virtual_time.run(main())


def test_the_first_of_a_run_asks_and_the_others_have_what_it_wrote() -> None:
    async def test(cache: ActionsCache) -> None:
        leader, follower = await Job(cache).begin(), await Job(cache).begin()
        came, seconds = await leader.waits()
        assert not came
        assert seconds == pytest.approx(0.25), "until the service has said that nobody else leads"
        stored = make(proved_at=4999.0)
        await leader.tier.store(stored.pointer, stored.sealed)
        await asyncio.sleep(1)
        waited = [await follower.waits() for _ in range(2)]
        assert waited[-1][0]
        assert sum(seconds for _, seconds in waited) <= 2 * EACH_SECONDS
        assert await follower.tier.find(NAME) == [stored.pointer]
        assert await leader.waits() == (False, 0.0)
        for job in (leader, follower):
            await job.tier.close()

    virtually(test)


def test_a_leader_that_writes_nothing_costs_the_others_a_bounded_while() -> None:
    async def test(cache: ActionsCache) -> None:
        leader, follower = await Job(cache).begin(), await Job(cache).begin()
        await leader.waits()
        waited = [await follower.waits() for _ in range(9)]
        assert max(seconds for _, seconds in waited) == pytest.approx(EACH_SECONDS)
        assert sum(seconds for _, seconds in waited) == pytest.approx(ALL_SECONDS)
        assert not any(came for came, _ in waited)
        for job in (leader, follower):
            await job.tier.close()

    virtually(test)


def test_another_run_has_a_leader_of_its_own() -> None:
    async def test(cache: ActionsCache) -> None:
        jobs = [await Job(cache, run=run).begin() for run in ("run-1", "run-2")]
        for job in jobs:
            came, seconds = await job.waits()
            assert not came
            assert seconds <= 0.25
            await job.tier.close()

    virtually(test)


@pytest.mark.parametrize("why", ["no run", "read only", "denied", "limited", "failed", "asleep", "closed"])
def test_where_nobody_can_lead_nobody_waits(why: str) -> None:
    failures = {
        "denied": DeniedError("CreateCacheEntry: cache write denied"),
        "limited": LimitedError("CreateCacheEntry", 60.0),
        "failed": ServiceError("CreateCacheEntry: status 500"),
    }

    async def test(cache: ActionsCache) -> None:
        leader = await Job(cache).begin()
        await leader.waits()
        job = Job(
            cache, run="" if why == "no run" else "run-1", permission=READ if why == "read only" else READ | WRITE
        )
        if why in failures:
            job.service.failures["CreateCacheEntry"] = [failures[why]]
        if why != "asleep":
            await job.begin()
        if why == "closed":
            await job.tier.close()
        came, seconds = await job.waits()
        assert not came
        assert seconds <= 0.25
        for each in (job, leader):
            await each.tier.close()

    virtually(test)


def test_a_caller_that_waits_when_the_job_ends_is_let_go() -> None:
    async def test(cache: ActionsCache) -> None:
        leader, follower = await Job(cache).begin(), await Job(cache).begin()
        await leader.waits()
        waiting = asyncio.create_task(follower.waits())
        await asyncio.sleep(0.5)
        await follower.tier.close()
        came, seconds = await waiting
        assert not came
        assert seconds <= 1.0
        await leader.tier.close()

    virtually(test)
