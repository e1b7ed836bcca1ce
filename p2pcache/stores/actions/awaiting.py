"""Callers that wait for another job's pack: each for a while, and no longer than a bound in a job."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

EACH_SECONDS = 3.0
"""For which one caller waits."""
ALL_SECONDS = 10.0
"""For which a job waits in all; callers that wait at the same time count once."""


class Awaiting:
    """The callers that wait.

    Args:
        clock: seconds that never decrease.
        urge: called for each new caller.
    """

    def __init__(self, clock: Callable[[], float], urge: Callable[[], None]) -> None:
        self._clock = clock
        self._urge = urge
        self._left = ALL_SECONDS
        self._since = 0.0
        self._waiting = 0
        self._changed = asyncio.Event()
        self._ended = False

    def look(self) -> None:
        """Have the callers look whether what they wait for came."""
        self._changed.set()
        self._changed = asyncio.Event()

    def end(self) -> None:
        """Free all callers, and let no further one wait."""
        self._ended = True
        self.look()

    async def until(self, holds: Callable[[], bool]) -> bool:
        """Wait until `holds`, for as long as a caller may; return whether it does."""
        seconds = min(EACH_SECONDS, self._remaining())
        self._enter()
        try:
            self._urge()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while not (holds() or self._ended):
                        await self._changed.wait()
        finally:
            self._leave()
        return holds()

    def _remaining(self) -> float:
        return self._left - (self._clock() - self._since if self._waiting else 0.0)

    def _enter(self) -> None:
        if not self._waiting:
            self._since = self._clock()
        self._waiting += 1

    def _leave(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._left -= self._clock() - self._since
