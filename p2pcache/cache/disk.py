"""The tier that outlives the process: a database in a thread of its own, with a bounded queue and deadlines."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from p2pcache.backends.disk import BACKEND
from p2pcache.cache.codec import PointerError, decode_pointer, encode_pointer
from p2pcache.cache.database import Database, Row
from p2pcache.cache.entry import Pointer
from p2pcache.cache.recovery import SafeDatabase
from p2pcache.cache.sealing import ForgedError, Keyring, SealedKind, SealError
from p2pcache.cache.tiers import Opening
from p2pcache.clock import unix_time

_DEADLINE = 1.0
_LONG_DEADLINE = 10.0
_QUEUE = 256
# Drops may wait where no other job may: to lose one would serve what a write has changed.
_QUEUE_OF_DROPS = 4 * _QUEUE

_log = logging.getLogger(__name__)

R = TypeVar("R")


class Disk:
    """Sealed entries in one SQLite file; several processes may share the directory.

    No method raises or waits beyond a second (`clear` and `close`: ten): on a slow, full, broken or unwritable disk
    it finds nothing, and one warning is logged.

    Args:
        directory: made with mode 0700 when it is not there; the file in it has mode 0600.
        keyring: seals the pointers; blocks come sealed.
        max_bytes: the bound on the file; the least recently used is evicted.
        clock: Unix seconds.
    """

    backend = BACKEND

    def __init__(
        self, directory: Path, keyring: Keyring, max_bytes: int, *, clock: Callable[[], float] = unix_time
    ) -> None:
        self._db = SafeDatabase(directory, max_bytes, clock)
        self._keyring = keyring
        self._thread = _Thread()
        self._stuck = False
        self._directory = directory
        self._warned = False

    async def find(self, resource: bytes) -> Sequence[Pointer]:
        """Return the pointers of a resource, the newest first."""
        return await self._ask(lambda db: self._opened(db, db.find(resource)), [])

    async def pointers(self, limit: int) -> Sequence[Pointer]:
        """Return at most `limit` pointers, the newest first."""
        return await self._ask(lambda db: self._opened(db, db.newest(limit)), [])

    async def block(self, pointer: Pointer) -> bytes | None:
        """Return the sealed block of a pointer, or None; its bytes do match the CID."""
        return await self.sealed(pointer.cid)

    async def sealed(self, cid: bytes) -> bytes | None:
        """Return the sealed block with this CID, or None, for a peer; its bytes do match."""
        return await self._ask(lambda db: db.block(cid), None)

    async def store(self, pointer: Pointer, sealed: bytes) -> None:
        """Keep both, unless they are out of bounds or the bytes do not match the pointer's CID."""
        try:
            row = self._keyring.seal(encode_pointer(pointer), SealedKind.POINTER, pointer.name, pointer.scope)
        except PointerError:
            return
        await self._ask(lambda db: db.store(pointer, row, sealed), False, storing=True)

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        """Forget what carries a topic; no later call of this process finds it, even if this one times out."""
        wanted = tuple(topics)

        def matches(row: Row) -> bool:  # the age of what another keyring sealed is unknown: it goes too
            try:
                return self._open(row).proved_at <= until
            except (SealError, PointerError):
                return True

        await self._forget(lambda db: db.drop(wanted, scope, None if until == math.inf else matches), _DEADLINE)

    async def clear(self) -> None:
        """Forget all entries and return the space, with the guarantee of `drop`."""
        await self._forget(Database.clear, _LONG_DEADLINE)

    async def usage(self) -> tuple[int, int]:
        """Return the number of entries and the bytes they take; zeros when the disk does not answer."""
        return await self._ask(Database.usage, (0, 0))

    @property
    def errors(self) -> int:
        """The number of failures of the disk or the file so far."""
        return self._db.errors

    @property
    def trouble(self) -> str:
        """What keeps new entries from being stored at present, one sentence; empty when nothing does."""
        return "the disk store hangs" if self._stuck else self._db.trouble

    async def close(self) -> None:
        """Finish what is under way and close the file; afterwards every call returns nothing."""
        await self._thread.finish(self._db.close, _LONG_DEADLINE)

    async def _ask(self, work: Callable[[Database], R], default: R, *, storing: bool = False) -> R:
        if self._stuck or self._thread.waiting >= _QUEUE:
            return default
        run = self._db.store if storing else self._db.run
        return await self._thread.run(partial(run, work, default), default, _DEADLINE)

    async def _forget(self, work: Callable[[Database], None], deadline: float) -> None:
        if self._thread.waiting >= _QUEUE_OF_DROPS and not self._stuck:
            self._stuck = True
            _log.warning("the disk store hangs: the cache goes on without it until the next start")
        if not self._stuck:
            await self._thread.run(partial(self._db.ensure, work), None, deadline, lasting=True)

    def _opened(self, db: Database, rows: Iterable[Row]) -> list[Pointer]:
        """Return the pointers that this keyring can open; after a change of secret, others are in the file too.

        A row under one of its keys that does not open for its name and scope was damaged or forged: it is deleted.
        """
        pointers, forged = [], []
        for row in rows:
            try:
                pointers.append(self._open(row))
            except ForgedError:
                forged.append(row)
            except (SealError, PointerError):
                continue
        if forged:
            db.delete(forged)
            if not self._warned:
                self._warned = True
                _log.warning("the disk store in %s was damaged or rearranged: its false entries go", self._directory)
        return pointers

    def _open(self, row: Row) -> Pointer:
        return decode_pointer(self._keyring.open(row.sealed, SealedKind.POINTER, row.name, row.scope))


def open_tier(opening: Opening) -> Disk:
    """Return the disk store of a node, as `backends.disk` declares it."""
    return Disk(opening.directory / "store", opening.keyring, opening.options["disk_bytes"])


class _Thread:
    """Runs jobs one by one, away from the event loop. A daemon, so that a disk that hangs cannot hold up the exit."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._finished = False
        threading.Thread(target=self._work, name="p2pcache-disk", daemon=True).start()

    @property
    def waiting(self) -> int:
        """The number of jobs not begun yet."""
        return self._jobs.qsize()

    async def run(self, job: Callable[[], R], default: R, deadline: float, *, lasting: bool = False) -> R:
        """Return the job's result, or `default` after `deadline` seconds; a lasting job is run even then."""
        if self._finished:
            return default
        future: Future[R] = Future()
        self._jobs.put((future, job))
        result = asyncio.wrap_future(future)
        try:
            done, _ = await asyncio.wait([result], timeout=deadline)
            return result.result() if done else default
        finally:  # also for a caller that is cancelled
            if not lasting:
                result.cancel()

    async def finish(self, last: Callable[[], None], deadline: float) -> None:
        """Run the jobs that wait, then `last`, then no other."""
        await self.run(last, None, deadline, lasting=True)
        self._finished = True
        self._jobs.put(None)

    def _work(self) -> None:
        while item := self._jobs.get():
            future, job = item
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job())
                except BaseException as error:  # noqa: BLE001 -- passed to the waiter, as executors do
                    future.set_exception(error)
