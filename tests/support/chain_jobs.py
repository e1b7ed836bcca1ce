"""Jobs whose nodes read and write a chain of packs, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from p2pcache.stores.actions.cache_service import CacheGrant
from p2pcache.stores.actions.chain import Chain
from p2pcache.stores.actions.chain_worker import ChainWorker
from p2pcache.stores.actions.pacing import Pace
from p2pcache.testing.actions_cache import READ, WRITE, ActionsCache, StoredEntry
from p2pcache.testing.conformance import KEYRING, Stored, make
from tests.support import virtual_time
from tests.support.distant_cache import DistantCache

MAIN, PULL = "refs/heads/main", "refs/pull/7/merge"
FIND, CREATE, SAVED = "GetCacheEntryDownloadURL", "CreateCacheEntry", "FinalizeCacheEntryUpload"
PACE = Pace()
FIRST = PACE.first * 1.5 + 2
"""Seconds in which the first pack is written."""


class Job:
    """One job's node, as far as its chain goes."""

    made = 0

    def __init__(
        self, cache: ActionsCache, ref: str = MAIN, *, other: str = "", permission: int = READ | WRITE
    ) -> None:
        Job.made += 1
        scopes = {ref: permission, **({other: READ} if other else {})}
        self.service = DistantCache(cache, scopes)
        self.chain = Chain(b"job %04d" % Job.made, lambda: 5000.0)
        refs = CacheGrant(ref, (other,) if other else (), writable=bool(permission & WRITE))
        self.worker = ChainWorker(self.chain, self.service, KEYRING, refs, lambda: 0.5)

    def ask(self, *resources: str) -> list[str]:
        """Store what GitHub answers."""
        for resource in resources:
            self.note(make(resource))
        return [*resources]

    def note(self, stored: Stored) -> None:
        self.chain.note(stored.pointer, stored.sealed)
        self.worker.noted()

    def has(self, resource: str) -> bool:
        found = bool(self.chain.shelf.find(make(resource).pointer.name))
        if not found:
            self.worker.missed()
        return found

    async def end(self) -> None:
        await self.worker.close(flush=True)


def in_virtual_time(test: Callable[[ActionsCache], Awaitable[None]]) -> Callable[[], None]:
    async def main() -> None:
        await test(ActionsCache(asyncio.get_running_loop().time))

    def run() -> None:
        virtual_time.run(main())

    run.__name__ = getattr(test, "__name__", "test")
    return run


def newest(cache: ActionsCache) -> StoredEntry:
    return cache.saved()[-1]
