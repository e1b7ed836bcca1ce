"""Invalidations this node knows of, for peers that were cut off when they happened. Pure, bounded in bytes."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from p2pcache.swarm.rules import statements

_SHARES = 4
"""One member's invalidations may take a quarter of the room."""
_ENTRY, _PER_TOPIC = 400, 65
"""About how many bytes an invalidation takes here."""
_LATER = 2.0
"""Seconds: reported as that much younger than it was believed to be, an invalidation is done once more."""


@dataclass(frozen=True, slots=True)
class Invalidation:
    """What was dropped, by which member, when (this node's clock), and its signature."""

    origin: str
    serial: int
    at: float
    topics: tuple[bytes, ...]
    scope: bytes | None
    signature: bytes

    @property
    def statement(self) -> bytes:
        """What is signed."""
        return statements.drop(self.serial, self.topics, self.scope)

    @property
    def room(self) -> int:
        """Bytes it takes."""
        return _ENTRY + _PER_TOPIC * len(self.topics)


_Key = tuple[str, int]


class InvalidationLog:
    """Remembers invalidations, so that each is done once, and sent to peers that missed it.

    Each member has a share of the room, so that one that drops without end loses only the memory of its own.

    Args:
        bound: bytes.
        age: for how many seconds; longer than any lifetime an invalidation could matter to.
    """

    def __init__(self, bound: int, age: float) -> None:
        self._bound = bound
        self._age = age
        self._known: OrderedDict[_Key, tuple[Invalidation, str]] = OrderedDict()
        self._of: dict[str, OrderedDict[_Key, int]] = {}
        self._taken: Counter[str] = Counter()

    def add(self, drop: Invalidation, member: str) -> bool:
        """Return whether it has to be done: it is new, or younger than it was reported before.

        Args:
            drop: the invalidation.
            member: at the expense of which it is remembered: its author, or where that is not known its sender.
        """
        key = (drop.origin, drop.serial)
        if known := self._known.get(key):
            # A member that passed it on may have dated it back, to when it mattered less.
            if drop.at <= known[0].at + _LATER:
                return False
            self._remove(key)
        self._known[key] = drop, member
        self._of.setdefault(member, OrderedDict())[key] = drop.room
        self._taken[member] += drop.room
        while self._taken[member] > self._bound // _SHARES:
            self._remove(next(iter(self._of[member])))
        while self._taken.total() > self._bound:
            greatest = max(self._taken, key=self._taken.__getitem__)
            self._remove(next(iter(self._of[greatest])))
        return True

    def recent(self, now: float) -> Iterator[Invalidation]:
        """Give those young enough to matter, oldest first."""
        return (drop for drop, _ in self._known.values() if now - drop.at < self._age)

    def _remove(self, key: _Key) -> None:
        drop, member = self._known.pop(key)
        del self._of[member][key]
        self._taken[member] -= drop.room
        if not self._of[member]:
            del self._of[member], self._taken[member]
