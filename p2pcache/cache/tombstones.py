"""What was dropped when: so that nothing older comes back from where the drop has not arrived yet."""

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
    """The latest drop of each topic, for everybody or for one scope.

    Beyond `MAX_MARKS` the oldest drops become one that concerns everything: forgetting too much is safe.
    """

    def __init__(self) -> None:
        self._marks: OrderedDict[tuple[bytes, bytes | None], _Mark] = OrderedDict()
        self._count = itertools.count(1)
        self._floor = _Mark(0, 0.0)

    def mark(self, topics: Collection[bytes], scope: bytes | None, at: float) -> None:
        """`topics` were dropped at `at`, Unix seconds; perhaps heard of late, when a later drop is known already."""
        epoch = next(self._count)
        for topic in topics:
            known = self._marks.get((topic, scope))
            self._put((topic, scope), _Mark(epoch, max(at, known.at if known else at)))

    def extend(self, topics: Collection[bytes], scope: bytes | None, at: float) -> None:
        """The drop took until `at`: what was asked for meanwhile may have been asked of somebody it had not reached."""
        for topic in topics:
            if mark := self._marks.get((topic, scope)):
                mark.at = max(mark.at, at)

    def epoch(self, topics: Collection[bytes], scope: bytes) -> int:
        """Grows whenever an entry of `scope` with one of `topics` is dropped; 0 when none ever was."""
        return max((mark.epoch for mark in self._of(topics, scope)), default=0)

    def since(self, topics: Collection[bytes], scope: bytes) -> float:
        """When an entry of `scope` with one of `topics` was last dropped; 0.0 when none ever was."""
        return max((mark.at for mark in self._of(topics, scope)), default=0.0)

    def _of(self, topics: Collection[bytes], scope: bytes) -> list[_Mark]:
        keys = [(topic, whose) for topic in topics for whose in (None, scope)]
        return [self._floor, *(mark for key in keys if (mark := self._marks.get(key)))]

    def _put(self, key: tuple[bytes, bytes | None], mark: _Mark) -> None:
        self._marks[key] = mark
        self._marks.move_to_end(key)
        if len(self._marks) > MAX_MARKS:
            _, oldest = self._marks.popitem(last=False)
            self._floor = _Mark(max(self._floor.epoch, oldest.epoch), max(self._floor.at, oldest.at))
