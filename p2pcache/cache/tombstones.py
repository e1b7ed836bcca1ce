"""What was dropped when: entries from before must not come back from a tier that the drop has not reached."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

MAX_MARKS = 65_536


@dataclass(slots=True)
class _Mark:
    epoch: int
    at: float


class Tombstones:
    """The latest drop of each topic, for all scopes or for one.

    Beyond `MAX_MARKS` the oldest drops become one of all topics: to drop too much is safe.
    """

    def __init__(self) -> None:
        self._marks: OrderedDict[tuple[bytes, bytes | None], _Mark] = OrderedDict()
        self._count = itertools.count(1)
        self._floor = _Mark(0, 0.0)

    def mark(self, topics: Collection[bytes], scope: bytes | None, at: float) -> None:
        """Record that `topics` were dropped at `at`, Unix seconds; it may arrive after a later drop."""
        epoch = next(self._count)
        for topic in topics:
            mark = self._marks.get((topic, scope))
            self._put((topic, scope), _Mark(epoch, max(at, mark.at if mark else at)))

    def extend(self, topics: Collection[bytes], scope: bytes | None, at: float) -> None:
        """Record that the drop took until `at`: answers obtained meanwhile may come from where it had not arrived."""
        for topic in topics:
            if mark := self._marks.get((topic, scope)):
                mark.at = max(mark.at, at)

    def epoch(self, topics: Collection[bytes], scope: bytes) -> int:
        """Return a number that grows with each drop of one of `topics` in `scope`; 0 before the first."""
        return max((mark.epoch for mark in self._of(topics, scope)), default=0)

    def since(self, topics: Collection[bytes], scope: bytes) -> float:
        """Return when one of `topics` was last dropped in `scope`, in Unix seconds; 0.0 before the first."""
        return max((mark.at for mark in self._of(topics, scope)), default=0.0)

    def _of(self, topics: Collection[bytes], scope: bytes) -> list[_Mark]:
        keys = [(topic, of) for topic in topics for of in (None, scope)]
        return [self._floor, *(mark for key in keys if (mark := self._marks.get(key)))]

    def _put(self, key: tuple[bytes, bytes | None], mark: _Mark) -> None:
        self._marks[key] = mark
        self._marks.move_to_end(key)
        if len(self._marks) > MAX_MARKS:
            _, oldest = self._marks.popitem(last=False)
            self._floor = _Mark(max(self._floor.epoch, oldest.epoch), max(self._floor.at, oldest.at))
