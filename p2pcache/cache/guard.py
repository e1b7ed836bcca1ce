"""Calls out of the cache, to tiers and leases: each has a deadline, and its failures are counted, not raised."""

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
    """Enforces a deadline where a tier breaks its own (see `tiers`).

    Args:
        failed: called with ``<name>_timeout`` or ``<name>_error``, for the ledger.
    """

    def __init__(self, failed: Callable[[str], None]) -> None:
        self._failed = failed
        self._logged: set[str] = set()

    async def __call__(
        self, name: str, call: Awaitable[T], default: T, seconds: float, late: Callable[[], None] = lambda: None
    ) -> T:
        """Return the result of `call`, or `default` when it raises or takes longer than `seconds`.

        In the second case `late` is called.
        """
        try:
            async with asyncio.timeout(seconds):
                return await call
        except TimeoutError:
            self._failed(f"{name}_timeout")
            late()
        except Exception:  # noqa: BLE001 -- a tier may be anything; a request must not fail with it
            self._failed(f"{name}_error")
            if name not in self._logged:
                self._logged.add(name)
                _log.warning("%s failed; the cache goes on without its answer", name, exc_info=True)
        return default


class GuardedLeases:
    """The fleet's leases with deadlines of `acquire_seconds` and `release_seconds`.

    Implements `tiers.Leases` for answers: of an answer, its pointer is passed on where it was stored.
    """

    def __init__(self, leases: Leases[Pointer], guard: Guard, acquire_seconds: float, release_seconds: float) -> None:
        self._leases = leases
        self._guard = guard
        self._acquire_seconds = acquire_seconds
        self._release_seconds = release_seconds

    async def acquire(self, resource: bytes, scope: bytes, *, again: bool = False) -> Lease[Answer] | Freed[Answer]:
        """See `tiers.Leases`; where acquiring fails, return a lease, so that the caller asks GitHub."""
        acquiring = self._leases.acquire(resource, scope, again=again)
        lease = await self._guard("lease", acquiring, None, self._acquire_seconds)
        return Freed() if isinstance(lease, Freed) else _GuardedLease(lease, self._guard, self._release_seconds)


class _GuardedLease:
    def __init__(self, lease: Lease[Pointer] | None, guard: Guard, seconds: float) -> None:
        self._lease = lease
        self._guard = guard
        self._seconds = seconds
        self.waited = lease is None or lease.waited

    async def release(self, result: Answer | None) -> None:
        if self._lease is not None:
            pointer = result.entry.pointer if isinstance(result, Cached) and result.stored else None
            await self._guard("lease", self._lease.release(pointer), None, self._seconds)

    async def abandon(self) -> None:
        if self._lease is not None:
            await self._guard("lease", self._lease.abandon(), None, self._seconds)
