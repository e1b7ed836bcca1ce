"""A circuit breaker: after failures in a row a service is left alone for a while, then tried with one call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half-open"]


class Breaker:
    """Decides whether a service is called.

    Args:
        monotonic: seconds that no change of the clock touches.
        failures: in a row, after which it opens.
        first, longest: seconds that it stays open; it doubles with each trial that fails.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        failures: int = 3,
        first: float = 2.0,
        longest: float = 60.0,
    ) -> None:
        self._monotonic = monotonic
        self._most = failures
        self._first = first
        self._longest = longest
        self._failures = 0
        self._pause = 0.0
        self._until = 0.0
        self._trying = False
        self.why = ""
        """The latest failure; empty once a call succeeded."""

    @property
    def state(self) -> State:
        """Open: it is not called; half-open: one call tries it."""
        if not self._pause:
            return "closed"
        return "open" if self._monotonic() < self._until else "half-open"

    @property
    def retry_after(self) -> float:
        """Seconds until a call is allowed again; 0 where one is."""
        return max(0.0, self._until - self._monotonic()) if self._pause else 0.0

    def allows(self) -> bool:
        """Return whether to call it now; each call that was allowed ends in one of the three methods below."""
        match self.state:
            case "closed":
                return True
            case "open":
                return False
            case "half-open":
                if self._trying:
                    return False
                self._trying = True
                return True

    def succeeded(self) -> None:
        """Close it."""
        self._failures = 0
        self._pause = 0.0
        self._trying = False
        self.why = ""

    def undecided(self) -> None:
        """End a call whose result is unknown, because its caller no longer waited for it."""
        self._trying = False

    def failed(self, why: str, *, lasting: bool = False) -> bool:
        """Count a failure; return whether it opened now. A `lasting` one opens it at once, for the longest time."""
        self._trying = False
        self.why = why
        self._failures += 1
        was_open = self._pause > 0
        if was_open and self._monotonic() < self._until:  # a call that began before it opened
            return False
        if lasting:
            self._pause = self._longest
        elif was_open:
            self._pause = min(self._longest, self._pause * 2)
        elif self._failures >= self._most:
            self._pause = self._first
        self._until = self._monotonic() + self._pause
        return not was_open and self._pause > 0
