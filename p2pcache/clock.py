"""Unix time that never runs backwards within a process, so that no step of the clock makes an answer live longer.

RFC 9111 section 4.2.3 wants ages that a clock cannot falsify. A step forwards is followed: it ends lifetimes early,
which costs a conditional request. A step backwards is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Steady:
    """The later of two times: the wall clock's, and the latest it ever showed plus what passed since.

    Args:
        wall: Unix seconds, as the machine has them now.
        monotonic: seconds that only pass.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ahead = wall() - monotonic()

    def __call__(self) -> float:
        """Unix seconds."""
        now = self._monotonic()
        self._ahead = max(self._ahead, self._wall() - now)
        return now + self._ahead


unix_time = Steady()
"""The clock of this process, for lifetimes, quotas and drops alike: they are compared with each other."""
