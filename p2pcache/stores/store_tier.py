"""A tier over a service that keeps bytes: deadlines, a circuit breaker, a bound on calls, and writes afterwards.

What is read there is a candidate for a proof, never an answer by itself (`backends.Backend.droppable` is False), so an
old, replayed or forged entry costs a 304, and there is nothing to drop.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from p2pcache.backends import Backend
from p2pcache.bounded import Bounded
from p2pcache.cache.codec import cid_of
from p2pcache.cache.entry import Pointer
from p2pcache.cache.sealing import Keyring
from p2pcache.stores import bundle
from p2pcache.stores.breaker import Breaker
from p2pcache.stores.call_budget import CallBudget
from p2pcache.stores.driver import Driver, StoreError
from p2pcache.stores.pending import Pending, PendingWrite

_log = logging.getLogger(__name__)

T = TypeVar("T")
PAUSE = 0.25
"""Seconds between two tries of a write."""


OPENING = 1.0
"""Seconds for which a service may be opened before that counts as slow."""


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Deadlines in seconds, and bounds.

    Attributes:
        open, read, write: for one call of the service.
        flush: for the writes that wait when the node stops.
        tries: of a write, before it is given up.
        batch: writes that are carried out together.
        calls: of the service, a minute.
        renew: an entry whose pointer there is older is written again, so that a store may delete by age.
        records, blocks: what is remembered of the service's contents.
    """

    open: float = 10.0
    read: float = 3.0
    write: float = 10.0
    flush: float = 5.0
    tries: int = 4
    batch: int = 16
    calls: int = 1200
    renew: float = 86_400.0
    records: int = 4096
    blocks: int = 16_384


@dataclass(slots=True)
class _Seen:
    """A record as this node last saw it."""

    version: str | None
    pointers: tuple[Pointer, ...]


class StoreTier:
    """Implements `cache.tiers.Remote`; sealed blocks by CID, and one sealed bundle of pointers for each resource.

    Args:
        backend: its declaration.
        driver: the service.
        keyring: seals and opens bundles.
        limits: see there.
        monotonic: seconds that no change of the clock touches.
    """

    def __init__(
        self,
        backend: Backend,
        driver: Driver,
        keyring: Keyring,
        *,
        limits: StoreLimits = StoreLimits(),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.backend = backend
        self._driver = driver
        self._keyring = keyring
        self._limits = limits
        # One each: a store that is full can be read, and one that lists may have lost its blocks.
        self._look_up, self._fetch, self._upload = self._breakers = [Breaker(monotonic) for _ in range(3)]
        self._warned = False
        self._budget = CallBudget(limits.calls, monotonic)
        self._pending = Pending()
        self._records: Bounded[bytes, _Seen] = Bounded(limits.records)
        self._monotonic = monotonic
        self._blocks: Bounded[bytes, float] = Bounded(limits.blocks)
        """When this node wrote a block."""
        self._opening: asyncio.Task[None] | None = None
        self._opening_at = -math.inf
        self._writing: asyncio.Task[None] | None = None
        self._closing = self._closed = False
        self._calls = 0
        self._refused = 0

    # Reading

    async def open(self) -> None:
        """Connect; where that fails, the next call tries again when the breaker lets it."""
        await self._call(self._look_up, self._nothing, None, self._limits.open)

    async def find(self, resource: bytes) -> Sequence[Pointer]:
        """Return the pointers of a resource, the newest first; without a call where the service is known to lack it."""
        pending = self._pending.pointers(resource)
        if self._closed or (self._opened and self._driver.lacks(resource)):
            return pending
        seen = await self._call(self._look_up, lambda: self._record(resource), None, self._limits.read)
        return bundle.merged(seen.pointers if seen else (), pending)

    async def block(self, pointer: Pointer) -> bytes | None:
        """Return the sealed block of a pointer, or None; its bytes do match the CID."""
        cid = pointer.cid
        if self._closed or (sealed := self._pending.block(cid)) is not None:
            return None if self._closed else sealed
        return await self._call(self._fetch, lambda: self._block(cid), None, self._limits.read)

    async def _record(self, name: bytes) -> _Seen:
        record = await self._driver.record(name)
        seen = _Seen(None, ())
        if record is not None:
            try:
                seen = _Seen(record.version, bundle.unseal(self._keyring, name, record.data))
            except bundle.BundleError as error:
                self._refused += 1
                _log.debug("%s: a record was ignored: %s", self.backend.name, error)
                seen.version = record.version
        self._records[name] = seen
        return seen

    async def _block(self, cid: bytes) -> bytes | None:
        sealed = await self._driver.block(cid)
        if sealed is None or len(sealed) > self._driver.largest_block or cid_of(sealed) != cid:
            self._blocks.pop(cid, None)  # so that it is written again
            if sealed is not None:
                self._refused += 1
            return None
        return sealed

    # Writing

    async def store(self, pointer: Pointer, sealed: bytes) -> None:
        """Have an entry written soon, unless the service has it, or may not have it."""
        if self._closed or not self._driver.writable or len(sealed) > self._driver.largest_block:
            return
        if self._stored(pointer):
            return
        self._pending.put(PendingWrite(pointer, sealed))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        """Do nothing: whatever is found needs a proof."""

    def _stored(self, pointer: Pointer) -> bool:
        """Return whether the service has this block for this scope, proved not long before."""
        seen = self._records.get(pointer.name)
        own = next((p for p in seen.pointers if p.scope == pointer.scope), None) if seen else None
        return own is not None and own.cid == pointer.cid and pointer.proved_at - own.proved_at < self._limits.renew

    async def _write_all(self) -> None:
        while batch := self._pending.take(self._limits.batch):
            await asyncio.sleep(self._budget.reserve(3 * len(batch)))  # a block, and a record read and written
            for _ in range(self._limits.tries):
                if await self._call(self._upload, partial(self._write, batch), False, self._limits.write):
                    break
                if self._closing:
                    return
                await asyncio.sleep(max(self._upload.retry_after, PAUSE))
            else:
                self._pending.lost += len(batch)
            self._pending.done(batch)

    async def _write(self, batch: Sequence[PendingWrite]) -> bool:
        now = self._monotonic()
        recent = now - self._limits.renew
        blocks = {w.pointer.cid: w.sealed for w in batch if self._blocks.get(w.pointer.cid, -math.inf) <= recent}
        if blocks:
            await self._driver.put_blocks([*blocks.items()])
            for cid in blocks:
                self._blocks[cid] = now
        by_name: dict[bytes, list[Pointer]] = {}
        for write in batch:
            by_name.setdefault(write.pointer.name, []).append(write.pointer)
        await asyncio.gather(*(self._write_record(name, pointers) for name, pointers in by_name.items()))
        return True

    async def _write_record(self, name: bytes, pointers: Sequence[Pointer]) -> None:
        """Add pointers to a record; where another node writes it at the same time, try once more, then give up."""
        for known in (self._records.get(name), None):
            seen = known or await self._record(name)
            if known is None and all(self._stored(pointer) for pointer in pointers):
                return
            whole = bundle.merged(seen.pointers, pointers)[: bundle.MAX_SCOPES]
            data = bundle.seal(self._keyring, name, whole, self._driver.largest_record)
            if data is None:
                return
            if (version := await self._driver.put_record(name, data, seen.version)) is not None:
                self._records[name] = _Seen(version, whole)
                return
            self._records.pop(name, None)

    # Calling

    @property
    def _opened(self) -> bool:
        return self._opening is not None and self._opening.done() and not _failed(self._opening)

    async def _call(self, breaker: Breaker, call: Callable[[], Awaitable[T]], default: T, seconds: float) -> T:
        """Return the result of `call`, or `default` where the service fails, is left alone, or was called enough."""
        if self._closed or breaker.state == "open" or not (self._budget.take() and breaker.allows()):
            return default
        self._calls += 1
        try:
            async with asyncio.timeout(seconds):
                await self._open()
                result = await call()
        except asyncio.CancelledError:
            breaker.undecided()
            raise
        except TimeoutError:
            self._failed(breaker, f"no answer within {seconds:g} s")
        except StoreError as error:
            self._failed(breaker, str(error), lasting=error.lasting)
        except Exception as error:  # noqa: BLE001 - a client library may raise anything
            self._failed(breaker, f"an unexpected failure ({type(error).__name__})")
            _log.debug("%s", self.backend.name, exc_info=True)
        else:
            breaker.succeeded()
            if self._warned and not self.trouble:
                self._warned = False
                _log.info("%s: %s answers again", *self._named)
            return result
        return default

    async def _open(self) -> None:
        """Have the service opened, once for all callers; it goes on when a caller stops waiting."""
        if self._opening is None or _failed(self._opening):
            self._opening_at = self._monotonic()
            self._opening = asyncio.create_task(self._open_driver())
            self._opening.add_done_callback(_failed)
        await asyncio.shield(self._opening)

    async def _open_driver(self) -> None:
        async with asyncio.timeout(self._limits.open):
            await self._driver.open()

    async def _nothing(self) -> None:
        """Call for no more than that the service is opened."""

    def _failed(self, breaker: Breaker, why: str, *, lasting: bool = False) -> None:
        if breaker.failed(why, lasting=lasting) and not self._warned:
            self._warned = True
            _log.warning("%s: %s: %s; the cache goes on without it and tries again", *self._named, why)

    @property
    def _named(self) -> tuple[str, str]:
        return self.backend.name, self._driver.where

    def late(self) -> None:
        """Count an answer that came too late to be of use as a failure, unless the service is just being opened."""
        if self._opened or self._monotonic() - self._opening_at >= OPENING:
            self._failed(self._look_up, "it answers more slowly than GitHub")

    # Reporting, ending

    @property
    def trouble(self) -> str:
        """Why it is not used at present, one sentence; empty when it is."""
        worst = self._worst
        return f"{self.backend.name}: {self._driver.where}: {worst.why}" if worst.state != "closed" else ""

    @property
    def _worst(self) -> Breaker:
        """The breaker to report: one that is open, else half-open, else the one that counted a failure."""
        order = ("open", "half-open", "closed")
        return min(self._breakers, key=lambda breaker: (order.index(breaker.state), not breaker.why))

    def report(self) -> dict[str, Any]:
        """Return its row of ``/-/stats``."""
        return {
            "state": self._worst.state,
            "why": self._worst.why,
            "calls": self._calls,
            "refused": self._refused,
            "waiting": len(self._pending),
            "lost": self._pending.lost,
        }

    async def close(self) -> None:
        """Write what waits, and disconnect; afterwards every call returns nothing.

        For `StoreLimits.flush` at most, and not at all where the service takes nothing.
        """
        self._closing = True
        if self._writing is not None:
            if self._upload.state == "closed":
                await asyncio.wait([self._writing], timeout=self._limits.flush)
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
            self._pending.clear()
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
            await self._driver.close()


def _failed(task: asyncio.Task[None]) -> bool:
    """Return whether a task ended without success; its exception counts as retrieved."""
    return task.done() and (task.cancelled() or task.exception() is not None)
