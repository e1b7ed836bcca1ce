"""The stand-in of the Actions cache as a job far away sees it, without HTTP: for virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from p2pcache.stores.actions.cache_service import DeniedError, Hit, LimitedError, ServiceError
from p2pcache.testing.actions_cache import ActionsCache, CacheRefusalError, Rights, StoredEntry
from p2pcache.values import Secret

VERSION = "0" * 64


@dataclass
class DistantCache:
    """One job's way to the service; `failures` are raised first, by method."""

    cache: ActionsCache
    scopes: Mapping[str, int]
    latency: float = 0.25
    failures: dict[str, list[Exception]] = field(default_factory=dict)
    closed: bool = False

    async def find(self, key: str) -> Hit | None:
        answer, entry = await self._call("GetCacheEntryDownloadURL", key=key, restore_keys=[key])
        return Hit(answer["matched_key"], Secret(str(entry.number))) if entry else None

    async def fetch(self, hit: Hit) -> bytes:
        await self._pass("download")
        entry = self.cache.entry(int(hit.url.reveal()))
        if entry is None or entry.data is None:
            raise ServiceError("download: status 404")
        return entry.data

    async def save(self, key: str, data: bytes) -> None:
        answer, entry = await self._call("CreateCacheEntry", key=key)
        if entry is None:
            raise DeniedError(str(answer["message"]))
        await self._pass("upload")
        entry.data = data
        await self._call("FinalizeCacheEntryUpload", key=key, size_bytes=str(len(data)))

    async def reserve(self, key: str) -> bool:
        await self._pass("CreateCacheEntry")
        fields = {"key": key, "version": VERSION}
        try:
            return self.cache.call("CreateCacheEntry", Rights("1", self.scopes), fields)[1] is not None
        except CacheRefusalError:
            return False

    async def close(self) -> None:
        self.closed = True

    async def _call(self, method: str, **fields: object) -> tuple[dict[str, str], StoredEntry | None]:
        await self._pass(method)
        try:
            return self.cache.call(method, Rights("1", self.scopes), {**fields, "version": VERSION})
        except CacheRefusalError as refusal:
            if refusal.status == 429:
                raise LimitedError(method, refusal.retry_after) from None
            raise (DeniedError if refusal.status == 403 else ServiceError)(str(refusal)) from None

    async def _pass(self, method: str) -> None:
        await asyncio.sleep(self.latency)
        if waiting := self.failures.get(method):
            raise waiting.pop(0)


def connecting(*distant: DistantCache) -> Callable[[str, Secret], DistantCache]:
    """Make each of them the service of one authorisation after the other."""
    waiting = list(distant)
    return lambda _url, _token: waiting.pop(0)
