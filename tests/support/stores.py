"""A service that keeps bytes, in memory, which a test can make slow, broken, or a liar."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from p2pcache.backends import Backend, Reach
from p2pcache.stores.driver import Record, StoreError
from p2pcache.stores.store_tier import StoreLimits, StoreTier
from p2pcache.testing.conformance import KEYRING

SHELF = Backend("shelf", "shelf", "a shelf", "", Reach.ANYWHERE, 0.02, droppable=False)


class Shared:
    """What is kept there; nodes of several fleets may have a driver over it."""

    def __init__(self) -> None:
        self.records: dict[bytes, Record] = {}
        self.blocks: dict[bytes, bytes] = {}
        self.writes = 0


class MemoryDriver:
    """Implements `driver.Driver`. Its calls are counted by their names."""

    where = "the shelf"
    largest_block = 1 << 20
    largest_record = 64 << 10

    def __init__(self, shared: Shared | None = None, *, writable: bool = True, seconds: float = 0.0) -> None:
        self.shared = shared or Shared()
        self.writable = writable
        self._seconds = seconds
        self.calls: Counter[str] = Counter()
        self.called = asyncio.Event()
        self.failing: Exception | None = None
        self.hanging = False
        self.full = False
        self.absent: set[bytes] = set()
        self.races = 0
        """How many writes another writer is quicker than."""
        self.closed = False

    async def _begin(self, call: str) -> None:
        self.calls[call] += 1
        self.called.set()
        await asyncio.sleep(self._seconds)
        if self.hanging:
            await asyncio.Event().wait()
        if self.failing is not None:
            raise self.failing

    async def open(self) -> None:
        await self._begin("open")

    def lacks(self, name: bytes) -> bool:
        return name in self.absent

    async def record(self, name: bytes) -> Record | None:
        await self._begin("record")
        return self.shared.records.get(name)

    async def put_record(self, name: bytes, data: bytes, version: str | None) -> str | None:
        await self._begin("put_record")
        self.absent.discard(name)
        there = self.shared.records.get(name)
        if self.races or (there.version if there else None) != version:
            self.races = max(0, self.races - 1)
            return None
        self.shared.writes += 1
        self.shared.records[name] = Record(data, str(self.shared.writes))
        return str(self.shared.writes)

    async def block(self, cid: bytes) -> bytes | None:
        await self._begin("block")
        return self.shared.blocks.get(cid)

    async def put_blocks(self, blocks: Sequence[tuple[bytes, bytes]]) -> None:
        await self._begin("put_blocks")
        if self.full:
            raise StoreError("it is full")
        self.shared.blocks |= dict(blocks)

    async def close(self) -> None:
        self.closed = True


AWAY = StoreError("it is away")


PATIENT = StoreLimits(open=20.0, read=20.0, write=20.0, flush=20.0, tries=1)
"""No deadline that a starved machine could meet."""
QUICK = StoreLimits(open=0.05, read=0.05, write=0.05, flush=0.2, tries=1)
"""Where the deadline is what the test waits for."""


def over(
    driver: MemoryDriver, limits: StoreLimits = PATIENT, monotonic: Callable[[], float] | None = None
) -> StoreTier:
    more = {"monotonic": monotonic} if monotonic else {}
    return StoreTier(SHELF, driver, KEYRING, limits=limits, **more)


async def written(tier: StoreTier) -> None:
    async with asyncio.timeout(20):
        while tier.report()["waiting"]:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
