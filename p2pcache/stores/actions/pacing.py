"""When to read the chain of packs and when to write it: a few calls a job, whatever it does. No I/O; time is given.

The service takes 200 uploads a minute from a repository, all its workflows together, and look-ups beyond a limit that
is not documented; a refusal costs the user's own caches their hits. So the intervals grow with the number of authors.
The figures are those that saved the most in simulation (docs/actions-cache.md).
"""

from __future__ import annotations

import enum
import math
import random
from collections.abc import Callable
from dataclasses import dataclass


class Step(enum.Enum):
    """What to do with the chain."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Pace:
    """In seconds, unless an attribute has another unit.

    Attributes:
        first: from the first news to the first pack, and up to half as much again.
        write, longest_write: between packs; doubles with each.
        write_per_author: the same, at least, for each author seen.
        news_per_author: entries that a pack needs for each other author, beside one.
        read, longest_read: between look-ups while reads are cold; half as much again where nothing was new.
        read_per_author: the same, at least, for each author seen.
        many: authors, above which look-ups are `read_per_many` apart for each, and none follows a pack.
        check: from a pack to the look-up that shows whether another author overtook it.
        urgent: between look-ups while a caller waits, where it is more than that for the authors seen.
        leader_first, leader_write: as `first` and `write` for a node that others wait for, while it is `leading`.
        failures: in a row, after which the service is left alone for `rest`.
    """

    first: float = 5.0
    write: float = 20.0
    longest_write: float = 60.0
    write_per_author: float = 2.0
    news_per_author: float = 0.5
    read: float = 5.0
    longest_read: float = 30.0
    read_per_author: float = 0.3
    many: int = 20
    read_per_many: float = 1.0
    check: float = 4.0
    urgent: float = 3.0
    leader_first: float = 2.0
    leader_write: float = 4.0
    leading: float = 60.0
    failures: int = 2
    rest: float = 60.0


class Pacing:
    """Decides the next step.

    Args:
        clock: seconds that never decrease.
        jitter: returns a number from 0 to 1, so that nodes that started together do not stay together.
        pace: the figures.

    Attributes:
        authors: the number of authors seen, this node among them.
    """

    def __init__(
        self, clock: Callable[[], float], jitter: Callable[[], float] = random.random, pace: Pace = Pace()
    ) -> None:
        self.authors = 1
        self._clock = clock
        self._jitter = jitter
        self._pace = pace
        self._not_before = dict.fromkeys(Step, -math.inf)
        self._failures = 0
        self._read_gap = pace.read
        self._next_read = -math.inf
        self._read_at = -math.inf
        self._check_at = math.inf
        self._write_gap = pace.write
        self._next_write = -math.inf
        self._write_at = math.inf
        self._wrote = False
        self._leads_until = -math.inf

    def next(self, *, cold: bool, news: int) -> tuple[Step, float]:
        """Return the next step and the seconds until it is due; infinity while there is no reason for one.

        Args:
            cold: something was looked for since the last look-up, and not found.
            news: entries that the newest pack lacks.
        """
        now = self._clock()
        reading = min(self._next_read if cold else math.inf, self._check_at)
        due = {Step.READ: reading, Step.WRITE: self._writing(now, news)}
        at = {step: max(due[step], self._not_before[step]) for step in Step}
        step = min(at, key=lambda step: at[step])
        return step, max(0.0, at[step] - now)

    def _writing(self, now: float, news: int) -> float:
        pace = self._pace
        alone = self._wrote and self.authors == 1  # no other node would read it before the job's end
        if news == 0 or (alone and not self._leads):
            self._write_at = math.inf
        elif self._write_at == math.inf and (self._leads or news >= 1 + pace.news_per_author * (self.authors - 1)):
            first = pace.leader_first if self._leads else pace.first
            wait = 0.0 if self._wrote else first * (1 + self._jitter() / 2)
            self._write_at = max(now + wait, self._next_write)
        return self._write_at

    def lead(self) -> None:
        """Write often for a while: other nodes wait for what this one asks for."""
        self._leads_until = self._clock() + self._pace.leading
        self._write_at = math.inf

    def urge(self) -> None:
        """Look sooner: a caller waits."""
        each = self._pace.read_per_author if self.authors <= self._pace.many else self._pace.read_per_many
        self._next_read = min(
            self._next_read, max(self._read_at + max(self._pace.urgent, each * self.authors), self._clock())
        )

    @property
    def _leads(self) -> bool:
        return self._clock() < self._leads_until

    def read(self, *, new: bool) -> None:
        """Take note of a look-up, and whether it found a pack that was not known."""
        pace = self._pace
        self._failures = 0
        self._check_at = math.inf
        self._read_at = self._clock()
        self._read_gap = pace.read if new else min(self._read_gap * 1.5, pace.longest_read)
        each = pace.read_per_author if self.authors <= pace.many else pace.read_per_many
        gap = max(self._read_gap, each * self.authors)
        self._next_read = self._clock() + gap * (0.9 + 0.3 * self._jitter())

    def wrote(self) -> None:
        """Take note of a pack that was written."""
        pace, now = self._pace, self._clock()
        self._failures = 0
        self._wrote = True
        self._write_at = math.inf
        gap = pace.leader_write if self._leads else max(self._write_gap, pace.write_per_author * self.authors)
        self._next_write = now + gap * (1 + self._jitter() / 4)
        self._write_gap = min(self._write_gap * 2, pace.longest_write)
        if self.authors <= pace.many:
            self._check_at = now + pace.check * (1 + self._jitter() / 2)

    def limited(self, step: Step, seconds: float) -> None:
        """Pause one kind of step, as the service asks; the other goes on."""
        self._not_before[step] = self._clock() + seconds

    def denied(self, step: Step) -> None:
        """End one kind of step; without reading there is no writing, which would displace what others wrote."""
        self._not_before[step] = math.inf
        if step is Step.READ:
            self._not_before[Step.WRITE] = math.inf

    def failed(self) -> None:
        """Count a failure; after some in a row the service is left alone for a while."""
        self._failures += 1
        seconds = self._pace.rest if self._failures >= self._pace.failures else self._pace.read
        for step in Step:
            self._not_before[step] = max(self._not_before[step], self._clock() + seconds)

    def pause(self, step: Step) -> float:
        """Return the seconds for which a step is not allowed; infinity where it never will be."""
        return max(0.0, self._not_before[step] - self._clock())
