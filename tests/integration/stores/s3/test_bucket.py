"""The backend s3 on a real server: the contract of a tier, what is in the bucket, and two writers at once."""

from __future__ import annotations

import asyncio
import os

import pytest
from aiohttp import web

from p2pcache.cache.codec import cid_text
from p2pcache.cache.entry import Pointer
from p2pcache.stores.store_tier import StoreTier
from p2pcache.testing.conformance import TierConformance, make
from tests.integration.stores.s3.conftest import Open, written
from tests.support.s3_server import Answer, FaultProxy, S3Server, refusing

pytestmark = pytest.mark.needs("versitygw")


class TestWhatWaits(TierConformance):
    """What was stored is found before it is written."""

    @pytest.fixture
    async def tier(self, open_tier: Open) -> StoreTier:
        return open_tier()


class TestWritten(TierConformance):
    """What was stored is found in the bucket."""

    @pytest.fixture
    async def tier(self, open_tier: Open, monkeypatch: pytest.MonkeyPatch) -> StoreTier:
        tier = open_tier()
        store = tier.store

        async def through(pointer: Pointer, sealed: bytes) -> None:
            await store(pointer, sealed)
            await written(tier)

        monkeypatch.setattr(tier, "store", through)
        return tier


async def test_what_one_node_wrote_another_finds_later(open_tier: Open, server: S3Server, bucket: str) -> None:
    kept = make()
    first = open_tier()
    await first.store(kept.pointer, kept.sealed)
    await first.close()
    assert set(server.objects(bucket)) == {
        f"p2pcache/v1/b/{cid_text(kept.pointer.cid)}",
        f"p2pcache/v1/p/{kept.pointer.name.hex()}",
    }
    second = open_tier()
    await second.open()
    assert list(await second.find(kept.pointer.name)) == [kept.pointer]
    assert await second.block(kept.pointer) == kept.sealed
    assert second.report()["refused"] == 0


async def test_the_prefix_parts_what_shares_a_bucket(open_tier: Open) -> None:
    kept = make()
    first = open_tier(CACHE_S3_PREFIX="one")
    await first.store(kept.pointer, kept.sealed)
    await first.close()
    second = open_tier(CACHE_S3_PREFIX="two")
    assert list(await second.find(kept.pointer.name)) == []
    assert await second.block(kept.pointer) is None


async def test_what_is_not_in_the_bucket_is_not_asked_for(open_tier: Open, proxy: FaultProxy) -> None:
    writer = open_tier()
    for number in range(5):
        kept = make(f"/{number}", body=b"%d" % number)
        await writer.store(kept.pointer, kept.sealed)
    await writer.close()
    tier = open_tier(proxy.address)
    await tier.open()
    for number in range(5, 25):
        assert list(await tier.find(make(f"/{number}").pointer.name)) == []
    assert proxy.asked == {"GET": 1}, "the listing"
    assert len(await tier.find(make("/3").pointer.name)) == 1
    assert proxy.asked == {"GET": 2}


async def test_more_names_than_one_page_has(open_tier: Open, server: S3Server, bucket: str, proxy: FaultProxy) -> None:
    records = server.folder / bucket / "p2pcache/v1/p"
    records.mkdir(parents=True)
    names = [os.urandom(32) for _ in range(2_300)]
    for name in names:
        (records / name.hex()).touch()
    tier = open_tier(proxy.address)
    await tier.open()
    driver = tier._driver
    listing = driver._names._listing  # type: ignore[attr-defined]
    await asyncio.wait_for(listing, 50)
    assert proxy.asked == {"GET": 3}
    assert not any(driver.lacks(name) for name in names)
    assert all(driver.lacks(os.urandom(32)) for _ in range(100))


async def test_writers_of_one_record_lose_nothing(open_tier: Open) -> None:
    """Each of two has its scope in the record in the end, whoever was first."""
    tiers = [open_tier(), open_tier()]
    entries = [make(scope=scope) for scope in ("token:1", "token:2")]
    await asyncio.gather(*(tier.open() for tier in tiers))
    for tier, kept in zip(tiers, entries, strict=True):
        await tier.store(kept.pointer, kept.sealed)
    await asyncio.gather(*(written(tier) for tier in tiers))
    third = open_tier()
    found = await third.find(entries[0].pointer.name)
    assert {pointer.scope for pointer in found} == {kept.pointer.scope for kept in entries}


async def test_without_conditional_writes_records_are_written_all_the_same(open_tier: Open, proxy: FaultProxy) -> None:
    conditional = refusing(501, "NotImplemented")

    async def fault(request: web.Request, answer: Answer) -> Answer:
        if {"If-Match", "If-None-Match"} & set(request.headers):
            return await conditional(request, answer)
        return answer

    proxy.fault = fault
    kept = make()
    tier = open_tier(proxy.address)
    await tier.store(kept.pointer, kept.sealed)
    await written(tier)
    assert tier.report()["lost"] == 0
    newer = make(proved_at=2_000_000.0)
    await tier.store(newer.pointer, newer.sealed)
    await written(tier)
    assert list(await open_tier().find(kept.pointer.name)) == [newer.pointer]


async def test_a_large_block_goes_both_ways(open_tier: Open) -> None:
    kept = make(body=os.urandom(3 << 20))
    first = open_tier()
    await first.store(kept.pointer, kept.sealed)
    await first.close()
    assert await open_tier().block(kept.pointer) == kept.sealed
