"""How long GitHub takes to answer: nothing else may make a caller wait for longer."""

from __future__ import annotations

from p2pcache.bounded import Bounded

_SHAPES = 512
_WEIGHT = 0.25


class UpstreamTimes:
    """Moving averages of the seconds to the head of an answer, for each operation and for all."""

    def __init__(self) -> None:
        self._by_shape: Bounded[str, float] = Bounded(_SHAPES)
        self._all: float | None = None

    def observe(self, shape: str, seconds: float) -> None:
        """Count one answer to an operation, by its route shape."""
        self._by_shape[shape] = _moved(self._by_shape.get(shape), seconds)
        self._all = _moved(self._all, seconds)

    def usual(self, shape: str) -> float | None:
        """Return the usual seconds of an operation, or of all while there is no answer to it; None before the first."""
        return self._by_shape.get(shape, self._all)


def _moved(average: float | None, seconds: float) -> float:
    return seconds if average is None else average + (seconds - average) * _WEIGHT
