"""Calls out of the cache, to tiers and leases: bounded in time, and what goes wrong there is counted, not raised."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

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
