"""What a node reads and writes of a chain, and when."""

from __future__ import annotations

import asyncio

import pytest

from p2pcache.stores.actions.chain_worker import FLUSH_SECONDS
from p2pcache.testing.actions_cache import READ, ActionsCache
from tests.support.chain_jobs import CREATE, FIND, FIRST, MAIN, PACE, PULL, Job, in_virtual_time, newest


@in_virtual_time
async def test_one_job_has_what_the_other_wrote(cache: ActionsCache) -> None:
    one, two = Job(cache), Job(cache)
    one.ask("/a")
    await asyncio.sleep(FIRST)
    assert not two.has("/a")
    await asyncio.sleep(PACE.longest_read)
    assert two.has("/a")
    await asyncio.gather(one.end(), two.end())
    assert len(cache.saved()) == 1, "what is there already is written by nobody else"


@in_virtual_time
async def test_without_requests_there_is_one_look_up(cache: ActionsCache) -> None:
    job = Job(cache)
    await asyncio.sleep(3600)
    assert [method for _, method in cache.calls] == [FIND]
    await job.end()
    assert len(cache.calls) == 1
    assert job.service.closed


@in_virtual_time
async def test_two_that_write_at_once_lose_nothing(cache: ActionsCache) -> None:
    jobs = [Job(cache), Job(cache)]
    for number, job in enumerate(jobs):
        job.ask(f"/{number}/a", f"/{number}/b")
    await asyncio.sleep(FIRST)
    assert len(cache.saved()) == 2
    await asyncio.sleep(120)
    late = Job(cache)
    await asyncio.sleep(5)
    assert all(late.has(f"/{number}/{name}") for number in (0, 1) for name in "ab")
    for job in (*jobs, late):
        await job.end()


@in_virtual_time
async def test_the_next_run_goes_on_where_this_one_ended(cache: ActionsCache) -> None:
    first = Job(cache)
    first.ask("/a", "/b", "/c")
    await first.end()
    await asyncio.sleep(3600)
    second = Job(cache)
    await asyncio.sleep(2)
    assert second.has("/b")
    second.ask("/d", "/e", "/f")
    await second.end()
    third = Job(cache)
    await asyncio.sleep(2)
    assert all(third.has(f"/{name}") for name in "abcdef")
    assert cache.count(FIND) <= 7
    await third.end()


@in_virtual_time
async def test_a_pull_request_begins_with_the_default_branchs(cache: ActionsCache) -> None:
    main = Job(cache)
    main.ask("/a", "/b", "/c")
    await main.end()
    pull = Job(cache, PULL, other=MAIN)
    await asyncio.sleep(2)
    assert pull.has("/a")
    pull.ask("/d", "/e", "/f")
    await pull.end()
    assert newest(cache).scope == PULL
    again, main = Job(cache, PULL, other=MAIN), Job(cache)
    await asyncio.sleep(3)
    assert again.has("/a")
    assert again.has("/d")
    assert not main.has("/d")
    for job in (again, main):
        await job.end()


@in_virtual_time
async def test_a_job_that_may_not_write_reads(cache: ActionsCache) -> None:
    first = Job(cache)
    first.ask("/a", "/b", "/c")
    await first.end()
    reader = Job(cache, permission=READ)
    await asyncio.sleep(2)
    assert reader.has("/a")
    reader.ask("/d", "/e", "/f")
    await asyncio.sleep(60)
    await reader.end()
    assert cache.count(CREATE) == 1


@in_virtual_time
async def test_an_evicted_base_is_written_anew(cache: ActionsCache) -> None:
    first = Job(cache)
    first.ask("/a", "/b", "/c")
    await first.end()
    base = newest(cache).key
    second = Job(cache)
    await asyncio.sleep(2)
    second.ask("/d", "/e", "/f")
    await second.end()
    cache.evict(base)
    third = Job(cache)
    await asyncio.sleep(3)
    assert third.has("/d")
    assert not third.has("/a")
    third.ask("/a", "/b", "/c")
    await third.end()
    fourth = Job(cache)
    await asyncio.sleep(2)
    assert all(fourth.has(f"/{name}") for name in "abcdef")
    assert fourth.worker.calls == 2, "it is one pack"
    await fourth.end()


@pytest.mark.parametrize("damage", ["another fleet's", "flipped", "cut", "nothing", "moved"])
def test_a_foreign_or_damaged_pack_is_nothing_and_is_asked_for_once(damage: str) -> None:
    @in_virtual_time
    async def test(cache: ActionsCache) -> None:
        first = Job(cache)
        first.ask("/a", "/b", "/c")
        await first.end()
        entry = newest(cache)
        data = entry.data or b""
        match damage:
            case "another fleet's":
                entry.data = b"\x02" + b"x" * 500
            case "flipped":
                entry.data = data[:200] + bytes([data[200] ^ 1]) + data[201:]
            case "cut":
                entry.data = data[:-100]
            case "nothing":
                entry.data = b""
            case "moved":
                entry.key = f"{entry.key}0"
        job = Job(cache)
        for _ in range(20):
            assert not job.has("/a")
            await asyncio.sleep(10)
        assert job.worker.refused == 1
        job.ask("/a", "/b", "/c")
        await job.end()
        last = Job(cache)
        await asyncio.sleep(2)
        assert last.has("/a"), "the chain goes on"
        await last.end()

    test()


@in_virtual_time
async def test_a_stranger_in_the_scope_hides_packs_and_no_more(cache: ActionsCache) -> None:
    first = Job(cache)
    first.ask("/a", "/b", "/c")
    await first.end()
    await first.service.save(f"{newest(cache).key[:-4]}ffff", b"whatever")
    job = Job(cache)
    await asyncio.sleep(2)
    assert not job.has("/a")
    job.ask("/d", "/e", "/f")
    await job.end()
    assert newest(cache).data != b"whatever"


@in_virtual_time
async def test_the_jobs_end_waits_for_the_service_no_longer_than_it_says(cache: ActionsCache) -> None:
    now = asyncio.get_running_loop().time
    for busy in (False, True):
        job = Job(cache)
        job.ask("/a", "/b", "/c")
        await asyncio.sleep(3)
        if busy:
            job.service.latency = 3600.0
            job.has("/d")
            await asyncio.sleep(10)
        job.service.latency = 3600.0
        begun = now()
        await job.end()
        assert now() - begun == pytest.approx(FLUSH_SECONDS, abs=0.01)
        assert job.service.closed


@in_virtual_time
async def test_a_pack_that_is_being_written_at_the_jobs_end_is_finished(cache: ActionsCache) -> None:
    job = Job(cache)
    job.ask("/a")
    for _ in range(400):
        if cache.count(CREATE):
            break
        await asyncio.sleep(0.05)
    assert cache.saved() == []
    await job.end()
    assert len(cache.saved()) == 1


@pytest.mark.parametrize("apart", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
def test_jobs_that_end_at_about_the_same_time_lose_nothing(apart: float) -> None:
    @in_virtual_time
    async def test(cache: ActionsCache) -> None:
        jobs = [Job(cache) for _ in range(2)]
        for number, job in enumerate(jobs):
            job.ask(f"/{number}/a", f"/{number}/b", f"/{number}/c")
        await asyncio.sleep(1)
        ending = asyncio.create_task(jobs[0].end())
        await asyncio.sleep(apart)
        await jobs[1].end()
        await ending
        late = Job(cache)
        await asyncio.sleep(2)
        assert late.has("/0/a")
        assert late.has("/1/a")
        await late.end()

    test()


@in_virtual_time
async def test_one_that_is_replaced_writes_nothing_more(cache: ActionsCache) -> None:
    job = Job(cache)
    job.ask("/a", "/b", "/c")
    await job.worker.close(flush=False)
    assert cache.count(CREATE) == 0
    assert job.service.closed
