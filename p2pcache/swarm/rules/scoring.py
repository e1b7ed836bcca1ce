"""What a peer's behaviour is worth: how long to wait for it, whether to ask it, when it has announced enough.

Pure: the caller gives the time, by `time.monotonic`, which the table of peers can read in its own thread too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

_PATIENCE = 6.0
_FLOOR = 0.8
"""Of the ceiling: a peer that was fast while nothing happened is not slow because all members ask it at once."""
_LAPSES = 1
"""Times a peer may be too slow before it is left alone for a while."""
_REST = 0.5
_REST_MAX = 30.0
EMPTY_PROMISES = 8
"""Announced blocks in a row a peer could not deliver before it is left alone for a while."""
FORGERIES = 3
"""Blocks that were not what their name means before the peer is dropped."""


@dataclass(slots=True)
class Score:
    """How a peer answered so far. Times in seconds."""

    ceiling: float
    latency: float | None = None
    lapses: int = 0
    lapsed_at: float = -math.inf
    empty: int = 0
    forged: int = 0
    rests_until: float = 0.0
    reason: str = ""

    def deadline(self) -> float:
        """Return how long to wait for its first byte: multiples of what it usually takes, below the ceiling."""
        if self.latency is None:
            return self.ceiling
        return min(self.ceiling, max(_FLOOR * self.ceiling, _PATIENCE * self.latency))

    def usable(self, now: float) -> bool:
        """Return whether to ask it at all."""
        return now >= self.rests_until

    def answered(self, seconds: float) -> None:
        """Count a block that it delivered, the first byte after `seconds`."""
        self.latency = seconds if self.latency is None else 0.8 * self.latency + 0.2 * seconds
        self.lapses = self.empty = 0
        self.rests_until, self.reason = 0.0, ""

    def timed_out(self, now: float, asked_at: float) -> None:
        """Count an answer that did not come in time: leave the peer alone when that becomes a habit, longer each time.

        Many requests made at the same time and too late together are one lapse: a burst that meets a busy moment of the
        peer must not be the end of it.
        """
        if asked_at < self.lapsed_at:
            return
        self.lapses += 1
        self.lapsed_at = now
        if self.lapses > _LAPSES:
            self._rest(now, self.lapses - _LAPSES, "it answers too slowly")

    def missed(self, now: float) -> None:
        """Count a block that it announced and did not have."""
        self.empty += 1
        if self.empty >= EMPTY_PROMISES:
            self._rest(now, self.empty - EMPTY_PROMISES + 1, "it announces what it does not have")

    def forgery(self) -> bool:
        """Count other bytes than asked for; return True when that was once too often."""
        self.forged += 1
        return self.forged >= FORGERIES

    def _rest(self, now: float, times: int, reason: str) -> None:
        self.rests_until = now + min(_REST_MAX, _REST * 2.0 ** min(times - 1, 16))
        self.reason = reason


@dataclass(slots=True)
class TokenBucket:
    """A token bucket: `burst` at once, `rate` a second for long."""

    rate: float
    burst: float
    level: float = field(init=False)
    at: float | None = None

    def __post_init__(self) -> None:
        self.level = self.burst

    def take(self, amount: float, now: float) -> bool:
        """Take `amount` if it is within the bounds; return whether it was."""
        self.level = min(self.burst, self.level + (now - (now if self.at is None else self.at)) * self.rate)
        self.at = now
        if amount > self.level:
            return False
        self.level -= amount
        return True


@dataclass(slots=True)
class Budget:
    """Bytes in flight over all peers."""

    total: int
    used: int = 0

    def take(self, amount: int) -> bool:
        """Take `amount` if there is room; return whether there was."""
        if self.used + amount > self.total:
            return False
        self.used += amount
        return True

    def give(self, amount: int) -> None:
        """Give back what was taken."""
        self.used -= amount
