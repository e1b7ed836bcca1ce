"""Calls out of the cache, to tiers and leases: bounded in time, and what goes wrong there is counted, not raised."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from p2pcache.cache.answer import Answer, Cached
from p2pcache.cache.entry import Pointer
from p2pcache.cache.tiers import Freed, Lease, Leases

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Guard:
    """Tiers promise deadlines of their own (see `tiers`); this holds when one does not keep its promise.

    Args:
        failed: told ``<what>_timeout`` or ``<what>_error`` for the ledger.
    """

    def __init__(self, failed: Callable[[str], None]) -> None:
        self._failed = failed
        self._said: set[str] = set()

    async def __call__(self, what: str, work: Awaitable[T], otherwise: T, seconds: float) -> T:
        """The result of `work`, or `otherwise` when it raises or takes longer than `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError:
            self._failed(f"{what}_timeout")
        except Exception:  # noqa: BLE001 -- a tier may be anything; a request must not fail with it
            self._failed(f"{what}_error")
            if what not in self._said:
                self._said.add(what)
                _log.warning("%s failed; the cache goes on without its answer", what, exc_info=True)
        return otherwise


class FleetLine:
    """The fleet's leases as an engine uses them: they hold up no request, and others find what was stored.

    Implements `tiers.Leases` for answers. `acquire_seconds` and `release_seconds` bound what is waited for.
    """

    def __init__(self, leases: Leases[Pointer], guard: Guard, acquire_seconds: float, release_seconds: float) -> None:
        self._leases = leases
        self._guard = guard
        self._acquire_seconds = acquire_seconds
        self._release_seconds = release_seconds

    async def acquire(self, resource: bytes, scope: bytes, *, again: bool = False) -> Lease[Answer] | Freed[Answer]:
        """See `tiers.Leases`; where leases are out of order, ask, since nobody says who else does."""
        acquiring = self._leases.acquire(resource, scope, again=again)
        got = await self._guard("lease", acquiring, None, self._acquire_seconds)
        return Freed() if isinstance(got, Freed) else _FleetLease(got, self._guard, self._release_seconds)


class _FleetLease:
    def __init__(self, lease: Lease[Pointer] | None, guard: Guard, seconds: float) -> None:
        self._lease = lease
        self._guard = guard
        self._seconds = seconds
        self.waited = lease is None or lease.waited

    async def release(self, left: Answer | None) -> None:
        if self._lease is not None:
            pointer = left.entry.pointer if isinstance(left, Cached) and left.stored else None
            await self._guard("lease", self._lease.release(pointer), None, self._seconds)

    async def abandon(self) -> None:
        if self._lease is not None:
            await self._guard("lease", self._lease.abandon(), None, self._seconds)
