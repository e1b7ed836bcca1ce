"""Things sent together: the first one waits a few milliseconds for others."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import trio


class Batch:
    """Calls `flush` some time after `wake`, once for all wakes meanwhile.

    Args:
        delay: seconds; what an announcement may cost in latency, saved many times over in frames.
        flush: does the work, without blocking.
    """

    def __init__(self, delay: float, flush: Callable[[], None]) -> None:
        self._delay = delay
        self._flush = flush
        self._woken = trio.Event()

    def wake(self) -> None:
        """Flush soon."""
        self._woken.set()

    async def run(self) -> NoReturn:
        """Flush until cancelled."""
        while True:
            await self._woken.wait()
            await trio.sleep(self._delay)
            self._woken = trio.Event()
            self._flush()
