"""A tier over a service: whatever becomes of the service, a caller waits for nothing and gets no wrong byte."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from p2pcache import backends
from p2pcache.cache.entry import Pointer
from p2pcache.cache.tiers import Remote
from p2pcache.stores.bundle import seal
from p2pcache.stores.driver import Record
from p2pcache.stores.store_tier import StoreLimits, StoreTier
from p2pcache.testing.conformance import KEYRING, TierConformance, make
from tests.support.stores import SHELF, MemoryDriver, Shared, over, written


class TestWithWhatWaits(TierConformance):
    """What was stored is found before it is written."""

    @pytest.fixture
    async def tier(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StoreTier]:
        monkeypatch.setattr(backends, "known", lambda: (SHELF,))
        tier = over(MemoryDriver())
        yield tier
        await tier.close()


class TestWritten(TierConformance):
    """What was stored is found by a node that comes after."""

    class ThroughTheService(StoreTier):
        async def store(self, pointer: Pointer, sealed: bytes) -> None:
            await super().store(pointer, sealed)
            await written(self)

    @pytest.fixture
    async def tier(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StoreTier]:
        monkeypatch.setattr(backends, "known", lambda: (SHELF,))
        tier = self.ThroughTheService(SHELF, MemoryDriver(), KEYRING)
        yield tier
        await tier.close()


def test_it_is_a_remote_tier(tier: StoreTier) -> None:
    assert isinstance(tier, Remote)


class TestReading:
    async def test_what_one_fleet_stored_another_finds(self) -> None:
        shared, kept = Shared(), make()
        first = over(MemoryDriver(shared))
        await first.store(kept.pointer, kept.sealed)
        await first.close()
        second = over(MemoryDriver(shared))
        assert list(await second.find(kept.pointer.name)) == [kept.pointer]
        assert await second.block(kept.pointer) == kept.sealed
        await second.close()

    async def test_what_is_known_to_be_absent_is_not_asked_for(self, tier: StoreTier, driver: MemoryDriver) -> None:
        name = make().pointer.name
        driver.absent.add(name)
        assert list(await tier.find(name)) == []
        assert driver.calls["record"] == 0

    async def test_a_block_that_does_not_match_is_no_block_and_is_written_again(
        self, tier: StoreTier, driver: MemoryDriver
    ) -> None:
        kept = make()
        await tier.store(kept.pointer, kept.sealed)
        await written(tier)
        driver.shared.blocks[kept.pointer.cid] = kept.sealed[:-1] + b"?"
        assert await tier.block(kept.pointer) is None
        assert tier.report()["refused"] == 1
        renewed = make(proved_at=1000.0 + 90_000)
        await tier.store(renewed.pointer, renewed.sealed)
        await written(tier)
        assert driver.shared.blocks[kept.pointer.cid] == kept.sealed

    async def test_a_record_that_does_not_open_is_ignored_and_replaced(
        self, tier: StoreTier, driver: MemoryDriver
    ) -> None:
        kept = make()
        driver.shared.records[kept.pointer.name] = Record(b"garbage", "7")
        assert list(await tier.find(kept.pointer.name)) == []
        assert tier.report()["refused"] == 1
        await tier.store(kept.pointer, kept.sealed)
        await written(tier)
        assert list(await tier.find(kept.pointer.name)) == [kept.pointer]

    async def test_a_record_of_another_resource_is_none_of_this(self, tier: StoreTier, driver: MemoryDriver) -> None:
        kept = make()
        data = seal(KEYRING, b"n" * 32, [kept.pointer])
        assert data is not None
        driver.shared.records[kept.pointer.name] = Record(data, "7")
        assert list(await tier.find(kept.pointer.name)) == []


class TestWriting:
    async def test_what_is_too_large_does_not_go_there(self, driver: MemoryDriver) -> None:
        driver.largest_block = 4096
        tier, kept = over(driver), make(body=random.Random(1).randbytes(5000))
        await tier.store(kept.pointer, kept.sealed)
        await tier.close()
        assert not driver.calls

    async def test_a_read_only_service_is_not_written_to(self) -> None:
        driver, kept = MemoryDriver(writable=False), make()
        tier = over(driver)
        await tier.store(kept.pointer, kept.sealed)
        await tier.close()
        assert not driver.calls

    async def test_what_is_there_is_not_written_again_within_a_day(self, driver: MemoryDriver) -> None:
        """Then it is, block and record, so that a store may delete by age."""
        now = [0.0]
        tier = over(driver, monotonic=lambda: now[0])
        for later, writes in ((0.0, 1), (60.0, 1), (86_000.0, 1), (90_000.0, 2)):
            now[0] = later
            kept = make(proved_at=1000.0 + later)
            await tier.store(kept.pointer, kept.sealed)
            await written(tier)
            assert (driver.shared.writes, driver.calls["put_blocks"]) == (writes, writes)
        await tier.close()

    async def test_what_was_read_there_is_written_again_after_a_day(
        self, tier: StoreTier, driver: MemoryDriver
    ) -> None:
        kept = make()
        other = over(MemoryDriver(driver.shared))
        await other.store(kept.pointer, kept.sealed)
        await other.close()
        assert await tier.block(kept.pointer) == kept.sealed
        again = make(proved_at=91_000.0)
        await tier.store(again.pointer, again.sealed)
        await written(tier)
        assert (driver.calls["put_blocks"], driver.shared.writes) == (1, 2)

    async def test_a_block_is_written_once_for_all_scopes(self, tier: StoreTier, driver: MemoryDriver) -> None:
        for scope in ("one", "two"):
            kept = make(scope=scope)
            await tier.store(kept.pointer, kept.sealed)
            await written(tier)
        assert (driver.calls["put_blocks"], driver.shared.writes) == (1, 2)

    async def test_what_another_node_wrote_is_not_written_again(self, tier: StoreTier, driver: MemoryDriver) -> None:
        kept = make()
        other = over(MemoryDriver(driver.shared))
        await other.store(kept.pointer, kept.sealed)
        await other.close()
        again = make(proved_at=1060.0)
        await tier.store(again.pointer, again.sealed)
        await written(tier)
        assert driver.shared.writes == 1

    async def test_two_writers_at_once_lose_nothing(self, tier: StoreTier, driver: MemoryDriver) -> None:
        mine, others = make(scope="mine"), make(scope="others")
        assert list(await tier.find(mine.pointer.name)) == []
        other = over(MemoryDriver(driver.shared))
        await other.store(others.pointer, others.sealed)
        await other.close()
        await tier.store(mine.pointer, mine.sealed)
        await written(tier)
        found = await tier.find(mine.pointer.name)
        assert {p.scope for p in found} == {mine.pointer.scope, others.pointer.scope}

    async def test_a_race_lost_twice_is_let_be(self, tier: StoreTier, driver: MemoryDriver) -> None:
        kept = make()
        driver.races = 2
        await tier.store(kept.pointer, kept.sealed)
        await written(tier)
        assert (driver.calls["put_record"], driver.shared.records) == (2, {})
        assert tier.report()["state"] == "closed"

    async def test_a_record_too_small_for_one_pointer_is_not_written(
        self, tier: StoreTier, driver: MemoryDriver
    ) -> None:
        driver.largest_record = 10
        kept = make()
        await tier.store(kept.pointer, kept.sealed)
        await written(tier)
        assert driver.calls["put_record"] == 0

    async def test_what_waits_is_written_at_the_end(self, driver: MemoryDriver) -> None:
        tier = over(driver)
        for number in range(40):
            kept = make(f"/{number}")
            await tier.store(kept.pointer, kept.sealed)
        await tier.close()
        assert len(driver.shared.records) == 40
        assert driver.closed

    async def test_but_nobody_waits_long_for_a_service_that_hangs(self, driver: MemoryDriver) -> None:
        driver.hanging = True
        tier = over(driver, StoreLimits(write=60.0, open=60.0, flush=0.05))
        kept = make()
        await tier.store(kept.pointer, kept.sealed)
        async with asyncio.timeout(20):
            await tier.close()
        assert tier.report()["lost"] == 1

    async def test_afterwards_it_does_nothing(self, tier: StoreTier, driver: MemoryDriver) -> None:
        kept = make()
        await tier.store(kept.pointer, kept.sealed)
        await tier.close()
        before = driver.calls.total()
        await tier.store(make("/other").pointer, kept.sealed)
        assert list(await tier.find(kept.pointer.name)) == []
        assert await tier.block(kept.pointer) is None
        assert driver.calls.total() == before

    async def test_one_never_opened_is_closed_without_a_call(self, driver: MemoryDriver) -> None:
        await over(driver).close()
        assert not driver.calls
        assert not driver.closed
