"""Invalidations this node knows of, for peers that were cut off when they happened. Pure, bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invalidation:
    """What was dropped, by whom, when (this node's clock)."""

    origin: str
    serial: int
    at: float
    topics: tuple[bytes, ...]
    scope: bytes | None


class DropLog:
    """Remembers invalidations, so that each is done once, and told to who missed it.

    Args:
        bound: how many.
        age: for how many seconds; longer than any lifetime an invalidation could matter to.
    """

    def __init__(self, bound: int, age: float) -> None:
        self._bound = bound
        self._age = age
        self._known: OrderedDict[tuple[str, int], Invalidation] = OrderedDict()

    def add(self, drop: Invalidation) -> bool:
        """Whether this is the first time it is heard of."""
        key = (drop.origin, drop.serial)
        if key in self._known:
            return False
        self._known[key] = drop
        if len(self._known) > self._bound:
            self._known.popitem(last=False)
        return True

    def recent(self, now: float) -> Iterator[Invalidation]:
        """Those young enough to matter, oldest first."""
        return (drop for drop in self._known.values() if now - drop.at < self._age)
