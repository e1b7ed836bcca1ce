"""What a check is, is given and returns. Standard library alone: the first checks run where no package is installed."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2pcache.settings import Settings


class CheckVerdict(enum.StrEnum):
    """The result of a check or of a part of it, from the best to the worst. `SKIP`: it does not apply here."""

    SKIP = "skip"
    PASS = "pass"  # noqa: S105 - a verdict
    WARN = "warn"
    FAIL = "fail"


_ORDER = tuple(CheckVerdict)


def worst(verdicts: Iterable[CheckVerdict]) -> CheckVerdict:
    """Return the worst of `verdicts`; `SKIP` where there are none."""
    return max(verdicts, key=_ORDER.index, default=CheckVerdict.SKIP)


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One result of a check. No text of it may contain a secret, in whole or in part.

    Attributes:
        found: one sentence on what was seen, without a full stop.
        advice: the one thing to do next; a warning and a failure have one.
        detail: further lines, e.g. times.
    """

    verdict: CheckVerdict
    found: str
    advice: str = ""
    detail: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.verdict in (CheckVerdict.WARN, CheckVerdict.FAIL) and not self.advice:
            raise ValueError(f"a finding that is no pass needs an advice: {self.found}")


def passed(found: str, *detail: str) -> CheckFinding:
    """Return a finding that is as it should be."""
    return CheckFinding(CheckVerdict.PASS, found, detail=detail)


def warned(found: str, advice: str, *detail: str) -> CheckFinding:
    """Return a finding with which the cache works, less well than it could."""
    return CheckFinding(CheckVerdict.WARN, found, advice, detail)


def failed(found: str, advice: str, *detail: str) -> CheckFinding:
    """Return a finding with which the cache, or what was asked of it, does not work."""
    return CheckFinding(CheckVerdict.FAIL, found, advice, detail)


def skipped(found: str, *detail: str) -> CheckFinding:
    """Return a finding for what does not apply here; `found` says why."""
    return CheckFinding(CheckVerdict.SKIP, found, detail=detail)


class NotApplicableError(Exception):
    """A check does not apply here; the message is the sentence of its only finding."""


@dataclass(frozen=True, slots=True, repr=False)
class Patient:
    """What is examined.

    Attributes:
        environ: the variables that a node started here would read.
        flags: raw text by field name, as for `settings.load`.
        given: the settings; None where they cannot be read, and `problem` has the reason.
        problem: one sentence.
        node: the unix socket of the running node; None where none runs.
        seconds: for one exchange with a server; checks have deadlines of their own (`Check.seconds`).
    """

    environ: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    given: Settings | None = None
    problem: str = ""
    node: Path | None = None
    seconds: float = 5.0

    @property
    def settings(self) -> Settings:
        """The settings.

        Raises:
            NotApplicableError: they cannot be read, so that what needs them cannot be examined.
        """
        if self.given is None:
            raise NotApplicableError(f"not examined, since the settings cannot be read: {self.problem}")
        return self.given


Findings = Iterable[CheckFinding]
Examine = Callable[[Patient], Findings | Awaitable[Findings]]
"""What a check's module has as ``examine``; one that is no coroutine function runs in a thread of its own."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        number: what ``--only`` takes.
        name: a few words, for people.
        examine: ``module:name`` of an `Examine`, imported when the check runs.
        seconds: its deadline.
        bare: it needs the standard library alone, so it runs before the others and where packages are missing.
    """

    number: int
    name: str
    examine: str
    seconds: float = 20.0
    bare: bool = False
