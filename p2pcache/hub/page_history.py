"""What a node did over time, in fixed memory: five-second samples of an hour, two-minute samples of a day."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from p2pcache.ledger.stats import Stats

SAMPLE_SECONDS = 5.0
HOUR_SAMPLES = 720
DAY_EVERY = 24
DAY_SECONDS = SAMPLE_SECONDS * DAY_EVERY
DAY_SAMPLES = 720
MAX_POINTS = 120
LEAST_SPAN = 120.0
"""Seconds that a chart covers at least."""
MAX_INCIDENTS = 12
TOGETHER_SECONDS = 60.0
"""Errors of one kind that follow each other within this are one incident."""
OF_STRANGERS = frozenset({"refused", "dropped"})
"""Kinds that the peers table has one by one, with a reason."""


class Sample(NamedTuple):
    """Counters at one moment, in Unix seconds."""

    at: float
    cacheable: int
    saved: int
    given: int
    """Answers given to members."""


class Point(NamedTuple):
    """What happened in one stretch of a chart.

    Attributes:
        start: where it begins, as a share of the chart's width.
        cacheable, saved, given: as those of `Sample`, in this stretch alone.
    """

    start: float
    cacheable: int
    saved: int
    given: int

    @property
    def rate(self) -> float | None:
        """The share of cacheable requests that cost no call; None without any."""
        return self.saved / self.cacheable if self.cacheable else None


@dataclass(slots=True)
class Incident:
    """Errors of one kind that came together."""

    at: float
    kind: str
    times: int


class History:
    """Samples of a ledger's counters, and the errors that were counted between them."""

    def __init__(self) -> None:
        self.hour: deque[Sample] = deque(maxlen=HOUR_SAMPLES)
        self.day: deque[Sample] = deque(maxlen=DAY_SAMPLES)
        self.incidents: deque[Incident] = deque(maxlen=MAX_INCIDENTS)
        self._errors: Mapping[str, int] | None = None
        self._taken = 0

    def take(self, stats: Stats, now: float) -> None:
        """Add a sample."""
        sample = Sample(now, stats.cacheable, stats.api_calls_saved, stats.peers.blocks_given)
        self.hour.append(sample)
        if self._taken % DAY_EVERY == 0:
            self.day.append(sample)
        self._taken += 1
        self._compare(stats.errors, now)

    def _compare(self, errors: Mapping[str, int], now: float) -> None:
        before, self._errors = self._errors, dict(errors)
        for kind, n in errors.items():
            more = n - (before.get(kind, 0) if before is not None else n)
            if more <= 0 or kind in OF_STRANGERS:
                continue
            recent = next((i for i in self.incidents if i.kind == kind and now - i.at <= TOGETHER_SECONDS), None)
            if recent is None:
                self.incidents.append(Incident(now, kind, more))
            else:
                recent.at, recent.times = now, recent.times + more


def points(samples: Sequence[Sample], seconds: float, most: int = MAX_POINTS) -> tuple[list[Point], float]:
    """Return the stretches between `samples`, at most about `most`, and how many seconds the chart covers.

    Args:
        samples: oldest first; the newest is the chart's right end.
        seconds: usually between two of them.
        most: how many stretches a chart has room for.
    """
    if len(samples) < 2:
        return [], LEAST_SPAN
    end = samples[-1].at
    width = max(LEAST_SPAN, end - samples[0].at)
    step = -(-(len(samples) - 1) // most)
    # By the clock and not by the place, so that a stretch keeps its samples while others come.
    chosen = [sample for sample in list(samples)[:-1] if round(sample.at / seconds) % step == 0]
    found = []
    for earlier, later in itertools.pairwise([*chosen, samples[-1]]):
        start = 1 - (end - earlier.at) / width
        counts = (max(0, after - before) for before, after in zip(earlier[1:], later[1:], strict=True))
        found.append(Point(start, *counts))
    return found, width
