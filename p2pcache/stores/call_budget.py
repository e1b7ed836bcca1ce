"""A bound on calls of a service: its owner pays for each."""

from __future__ import annotations

from collections.abc import Callable


class CallBudget:
    """A token bucket that holds a quarter of a minute's calls.

    Args:
        calls: a minute.
        monotonic: seconds that no change of the clock touches.
    """

    def __init__(self, calls: int, monotonic: Callable[[], float]) -> None:
        self._rate = calls / 60
        self._most = calls / 4
        self._left = self._most
        self._monotonic = monotonic
        self._at = monotonic()

    def take(self) -> bool:
        """Return whether one more call may be made now."""
        self._fill()
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def reserve(self, calls: int) -> float:
        """Take several calls at once, in advance where need be; return the seconds to wait before they are made."""
        self._fill()
        self._left -= calls
        return max(0.0, -self._left / self._rate)

    def _fill(self) -> None:
        now = self._monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
