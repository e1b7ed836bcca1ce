"""A service that does not play along: what a node does then, and that it goes on by itself."""

from __future__ import annotations

import asyncio
import logging

import pytest

from p2pcache.stores.actions.cache_service import DeniedError, LimitedError, ServiceError
from p2pcache.testing.actions_cache import ActionsCache
from tests.support.chain_jobs import CREATE, FIND, FIRST, SAVED, Job, in_virtual_time
from tests.support.distant_cache import DistantCache


@in_virtual_time
async def test_a_base_that_cannot_be_had_for_a_moment_is_fetched_later(cache: ActionsCache) -> None:
    first = Job(cache)
    first.ask("/a", "/b", "/c")
    await first.end()
    second = Job(cache)
    await asyncio.sleep(2)
    second.ask("/d", "/e", "/f")
    await second.end()
    third = Job(cache)
    failing = ServiceError("download: status 500")

    async def fetch(hit: object, fetched: list[object] = []) -> bytes:  # noqa: B006 - of this one function
        fetched.append(hit)
        if len(fetched) == 2:
            raise failing
        return await DistantCache.fetch(third.service, hit)  # type: ignore[arg-type]

    third.service.fetch = fetch  # type: ignore[method-assign]
    await asyncio.sleep(2)
    assert third.worker.why == str(failing)
    assert not third.has("/a")
    await asyncio.sleep(10)
    assert third.has("/a")
    assert third.has("/d")
    assert third.worker.why == ""
    await third.end()


@in_virtual_time
async def test_a_limit_on_look_ups_does_not_stop_packs(cache: ActionsCache) -> None:
    job = Job(cache)
    job.service.failures[FIND] = [LimitedError(FIND, 300.0)]
    job.ask("/a", "/b", "/c")
    await asyncio.sleep(FIRST)
    assert len(cache.saved()) == 1
    assert cache.count(FIND) == 0
    assert job.worker.trouble == ""
    job.has("/d")
    await asyncio.sleep(310)
    assert cache.count(FIND) == 1
    await job.end()


@in_virtual_time
async def test_a_limit_on_packs_does_not_stop_look_ups(cache: ActionsCache) -> None:
    job, other = Job(cache), Job(cache)
    job.service.failures[CREATE] = [LimitedError(CREATE, 100.0)]
    job.ask("/a", "/b", "/c")
    other.ask("/d", "/e", "/f")
    await asyncio.sleep(FIRST)
    assert len(cache.saved()) == 1
    assert not job.has("/d")
    await asyncio.sleep(60)
    assert job.has("/d")
    await asyncio.sleep(60)
    assert len(cache.saved()) == 2
    for each in (job, other):
        await each.end()


@pytest.mark.parametrize("method", [CREATE, "upload", SAVED])
def test_a_denied_write_is_one_line_and_the_last_one(method: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    @in_virtual_time
    async def test(cache: ActionsCache) -> None:
        job = Job(cache)
        job.service.failures[method] = [DeniedError("CreateCacheEntry: cache write denied: no")] * 9
        for number in range(9):
            job.ask(f"/{number}")
            await asyncio.sleep(60)
        await job.end()
        assert len(job.service.failures[method]) == 8
        assert cache.count(FIND) >= 2

    test()
    (line,) = caplog.messages
    assert line == ("the Actions cache: CreateCacheEntry: cache write denied: no; this job goes on without writing it")


@pytest.mark.parametrize("error", [ServiceError("GetCacheEntryDownloadURL: status 503"), LimitedError(FIND, 30.0)])
def test_a_service_that_fails_is_one_line_of_a_job(error: ServiceError, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    @in_virtual_time
    async def test(cache: ActionsCache) -> None:
        job = Job(cache)
        job.service.failures[FIND] = [error] * 9
        for number in range(9):
            assert not job.has(f"/{number}")
            await asyncio.sleep(100)
        await job.end()
        assert len(job.service.failures[FIND]) < 7

    test()
    assert caplog.messages == [f"the Actions cache: {error}; the cache goes on without it and tries again"]


def test_denied_reads_end_both(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    @in_virtual_time
    async def test(cache: ActionsCache) -> None:
        job = Job(cache)
        job.service.failures[FIND] = [DeniedError("GetCacheEntryDownloadURL: status 401")]
        job.ask("/a", "/b", "/c")
        await asyncio.sleep(600)
        job.has("/d")
        await asyncio.sleep(600)
        assert job.worker.trouble == "GetCacheEntryDownloadURL: status 401"
        await job.end()
        assert cache.calls == []

    test()
    assert caplog.messages == [
        "the Actions cache: GetCacheEntryDownloadURL: status 401; this job goes on without reading it"
    ]


@in_virtual_time
async def test_a_service_that_fails_is_left_alone_and_comes_back(cache: ActionsCache) -> None:
    job = Job(cache)
    down = [ServiceError("GetCacheEntryDownloadURL: status 503") for _ in range(5)]
    job.service.failures[FIND] = list(down)
    job.ask("/a", "/b", "/c")
    for _ in range(240):
        job.has("/d")
        await asyncio.sleep(1)
    assert job.worker.trouble == str(down[0])
    assert len(job.service.failures[FIND]) == 0, "five calls in four minutes of requests"
    await asyncio.sleep(120)
    assert job.worker.trouble == ""
    assert len(cache.saved()) == 1
    await job.end()
