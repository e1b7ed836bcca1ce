"""The tier: entries of packs in memory; a worker reads and writes the chain beside the requests."""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any

from p2pcache.backends.actions import BACKEND
from p2pcache.cache.entry import Pointer
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.tiers import Opening
from p2pcache.clock import unix_time
from p2pcache.stores.actions.cache_service import CacheService, grant_of
from p2pcache.stores.actions.chain import Chain
from p2pcache.stores.actions.chain_worker import ChainWorker, PackService
from p2pcache.values import Secret

_AUTHOR = 8


class PackTier:
    """Implements `cache.tiers.Remote`, `Authorized` and `Awaited`; it sleeps until `authorize`.

    No call waits for the service, but for `arrival`.

    Args:
        keyring: seals and opens packs.
        connect: makes the client of the service.
        clock: Unix seconds.
        jitter: see `pacing.Pacing`.
    """

    backend = BACKEND

    def __init__(
        self,
        keyring: Keyring,
        *,
        connect: Callable[[str, Secret], PackService] = CacheService,
        clock: Callable[[], float] = unix_time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._keyring = keyring
        self._connect = connect
        self._jitter = jitter
        self._chain = Chain(secrets.token_bytes(_AUTHOR), clock)
        self._credentials: tuple[str, Secret] | None = None
        self._worker: ChainWorker | None = None
        self._closed = False

    async def open(self) -> None:
        """Do nothing: the credentials come later, from the step of the job that has them."""

    def late(self) -> None:
        """Do nothing: no caller waits for the service."""

    async def authorize(self, results_url: str, token: Secret) -> None:
        """Begin to read and write, or go on with newer credentials.

        Raises:
            ValueError: they cannot be used, see `cache_service.CacheService`.
        """
        if self._closed or self._credentials == (results_url, token):
            return
        service = self._connect(results_url, token)
        before, self._credentials = self._worker, (results_url, token)
        self._worker = ChainWorker(self._chain, service, self._keyring, grant_of(token), self._jitter)
        if before is not None:
            await before.close(flush=False)

    async def find(self, resource: bytes) -> Sequence[Pointer]:
        """Return the pointers of a resource that packs brought; a miss is a reason to look for newer packs."""
        if self._closed:
            return ()
        found = self._chain.shelf.find(resource)
        if not found and self._worker is not None:
            self._worker.missed()
        return found

    async def arrival(self, resource: bytes) -> bool:
        """Wait for a pack with a resource, a few seconds at most; return whether it came. See `cache.tiers.Awaited`."""
        return not self._closed and self._worker is not None and await self._worker.arrival(resource)

    async def block(self, pointer: Pointer) -> bytes | None:
        """Return the sealed block of a pointer, or None."""
        return None if self._closed else self._chain.shelf.block(pointer)

    async def store(self, pointer: Pointer, sealed: bytes) -> None:
        """Note an entry for the next pack, which has it proved elsewhere."""
        if self._closed:
            return
        self._chain.note(pointer, sealed)
        if self._worker is not None:
            self._worker.noted()

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        """Forget entries here; those in packs need a proof anyway."""
        self._chain.shelf.drop(topics, scope, until)

    @property
    def trouble(self) -> str:
        """Why it is not used at present, one sentence; empty when it is, and before it is authorized."""
        why = self._worker.trouble if self._worker else ""
        return f"{BACKEND.name}: {why}" if why else ""

    def report(self) -> dict[str, Any]:
        """Return its row of ``/-/stats``."""
        worker = self._worker
        return {
            "state": "open" if self.trouble else "closed",
            "why": worker.why if worker else "",
            "calls": worker.calls if worker else 0,
            "refused": worker.refused if worker else 0,
            "waiting": self._chain.news,
            "lost": 0,
        }

    async def close(self) -> None:
        """Write what the newest pack lacks, for a few seconds at most; afterwards every call returns nothing."""
        self._closed = True
        if self._worker is not None:
            await self._worker.close(flush=True)


def open_tier(opening: Opening) -> PackTier:
    """Return the tier, as `backends.actions` declares it."""
    return PackTier(opening.keyring)
