"""Unix time that never runs backwards within a process, so that no clock step extends a lifetime.

RFC 9111 section 4.2.3 requires ages that are robust against clock errors. A step forwards is followed: it ends
lifetimes early, at the cost of a conditional request. A step backwards is ignored.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Steady:
    """The later of the wall clock's time and its maximum so far plus the time since.

    Args:
        wall: returns the machine's Unix time in seconds.
        monotonic: returns seconds that never decrease.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ahead = wall() - monotonic()

    def __call__(self) -> float:
        """Return Unix seconds."""
        now = self._monotonic()
        self._ahead = max(self._ahead, self._wall() - now)
        return now + self._ahead


unix_time = Steady()
"""The clock of this process, for lifetimes, quotas and tombstones, which are compared with each other."""
