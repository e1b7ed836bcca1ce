"""Learn whether an upstream follows the ETag rule, operation by operation, from its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from p2pcache.bounded import Bounded

PATIENCE = 8
"""Disagreements without an agreement after which a shape is given up."""
RELAPSE = 50
"""Disagreements in a row after which a shape that held is given up: more than a run of unstable bodies."""
RETRY_SECONDS = 3600.0
"""Seconds after which a given-up shape is tried again."""
MAX_SHAPES = 1024
FOREIGN = 3
"""Given-up shapes, without any agreement, that show an upstream with another rule (GitHub Enterprise Server)."""

State = Literal["untested", "holds", "given up"]


@dataclass(slots=True)
class _Shape:
    agreed: bool = False
    in_a_row: int = 0
    given_up: float | None = None


class RuleTrial:
    """The state of the rule by shape, from answers with a tag of 64 hex digits.

    A shape is an operation and a form of its answer, e.g. ``GET /repos/{owner}/{repo} json``: a single operation may
    deviate for long, as that one did from July 2021 to January 2023. One agreement proves the rule, since a SHA-256
    does not match by chance; `PATIENCE` disagreements, or `RELAPSE` in a row after an agreement, give it up. The next
    agreement, or an hour, ends that. All times are seconds of the caller's clock.

    Attributes:
        agreed: answers that agreed, over all shapes.
        disagreed: answers that did not.
        lists: False once the upstream has ignored a list of tags in ``If-None-Match``; then one tag is sent.
        empty_accept: whether GitHub hashes an empty ``Accept``; None until an answer shows it.
    """

    def __init__(self) -> None:
        self.agreed = 0
        self.disagreed = 0
        self.lists = True
        self.empty_accept: bool | None = None
        self._shapes: Bounded[str, _Shape] = Bounded(MAX_SHAPES)

    def state(self, shape: str, now: float) -> State:
        """Return the state of a shape; without answers of its own it is that of the upstream."""
        known = self._shapes.get(shape)
        if known is not None and _given_up(known, now):
            return "given up"
        if known is not None and known.agreed:
            return "holds"
        return "given up" if self.foreign(now) else "untested"

    def usable(self, shape: str, now: float) -> bool:
        """Return whether computed tags are worth sending for a shape."""
        return self.state(shape, now) != "given up"

    def foreign(self, now: float) -> bool:
        """Return whether the upstream as a whole does not follow the rule."""
        return not self.agreed and len(self.given_up(now)) >= FOREIGN

    def given_up(self, now: float) -> list[str]:
        """Return the shapes that are given up at `now`."""
        return [name for name, shape in self._shapes.items() if _given_up(shape, now)]

    def observe(self, shape: str, now: float, *, agrees: bool) -> bool:
        """Record one answer; return True exactly if it gives the shape up, for one log line."""
        known = self._shapes[shape] = self._shapes.get(shape) or _Shape()
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
        """Return ``{"state", "agreed", "disagreed", "given_up": [shape, ...], "lists"}`` for the statistics."""
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
