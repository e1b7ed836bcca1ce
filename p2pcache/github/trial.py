"""Whether an upstream follows the ETag rule, learned from its own answers, operation by operation."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

PATIENCE = 8
"""Disagreements without any agreement after which the rule is not used for a shape."""
RELAPSE = 50
"""Disagreements in a row that end it where it held: longer than a stretch of unstable bodies."""
RETRY_SECONDS = 3600.0
"""After this long a shape that was given up is tried again."""
MAX_SHAPES = 1024
FOREIGN = 3
"""Shapes given up, none having agreed, that show an upstream to have a rule of its own (GitHub Enterprise Server)."""

State = Literal["untested", "holds", "given up"]


@dataclass(slots=True)
class _Shape:
    agreed: bool = False
    in_a_row: int = 0
    given_up: float | None = None


class RuleTrial:
    """What the answers with a tag of 64 hex digits say of the rule, by shape.

    A shape is an operation and a form of its answer, e.g. ``GET /repos/{owner}/{repo} json``: one operation may leave
    the rule for long while all others keep it, as the repository itself did from July 2021 to January 2023. A shape is
    tried until it is known. An agreement proves it, since a SHA-256 does not agree by chance; disagreement gives it up
    after `PATIENCE` answers or, once it held, `RELAPSE` in a row. It is tried again after the next agreement, or after
    an hour. All times are seconds of one clock, that of the caller.

    Attributes:
        agreed: answers that agreed, of all shapes.
        disagreed: answers that did not.
        lists: False once a list of tags in ``If-None-Match`` was seen not to be honoured; one is sent from then on.
        empty_accept: whether GitHub hashes an ``Accept`` that is there and empty; None until an answer showed it.
    """

    def __init__(self) -> None:
        self.agreed = 0
        self.disagreed = 0
        self.lists = True
        self.empty_accept: bool | None = None
        self._shapes: OrderedDict[str, _Shape] = OrderedDict()

    def state(self, shape: str, now: float) -> State:
        """What is believed of one shape; one without a verdict of its own has that of the upstream."""
        known = self._shapes.get(shape)
        if known is not None and _given_up(known, now):
            return "given up"
        if known is not None and known.agreed:
            return "holds"
        return "given up" if self.foreign(now) else "untested"

    def usable(self, shape: str, now: float) -> bool:
        """Whether computed tags are worth sending for a shape."""
        return self.state(shape, now) != "given up"

    def foreign(self, now: float) -> bool:
        """Whether nothing at this upstream follows the rule."""
        return not self.agreed and len(self.given_up(now)) >= FOREIGN

    def given_up(self, now: float) -> list[str]:
        """The shapes for which the rule is not used now."""
        return [name for name, shape in self._shapes.items() if _given_up(shape, now)]

    def observe(self, shape: str, now: float, *, agrees: bool) -> bool:
        """Learn from one answer; True exactly when this gives the shape up, so that it is said once."""
        known = self._shapes.setdefault(shape, _Shape())
        self._shapes.move_to_end(shape)
        if len(self._shapes) > MAX_SHAPES:
            self._shapes.popitem(last=False)
        if agrees:
            self.agreed += 1
            known.agreed, known.in_a_row, known.given_up = True, 0, None
            return False
        self.disagreed += 1
        if known.given_up is not None and not _given_up(known, now):
            known.in_a_row, known.given_up, known.agreed = 0, None, False
        known.in_a_row += 1
        if known.given_up is not None or known.in_a_row < (RELAPSE if known.agreed else PATIENCE):
            return False
        known.given_up = now
        return True

    def summary(self, now: float) -> dict[str, Any]:
        """For the statistics: ``{"state", "agreed", "disagreed", "given_up": [shape, ...], "lists"}``."""
        state: State = "holds" if self.agreed else "given up" if self.foreign(now) else "untested"
        return {
            "state": state,
            "agreed": self.agreed,
            "disagreed": self.disagreed,
            "given_up": self.given_up(now),
            "lists": self.lists,
        }


def _given_up(shape: _Shape, now: float) -> bool:
    return shape.given_up is not None and now < shape.given_up + RETRY_SECONDS
