"""Outcomes side by side: as a table for a terminal, as Markdown, as JSON (docs/scenarios.md#for-programs)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from p2pcache import __version__
from p2pcache.scenarios.fleet import Workload
from p2pcache.scenarios.outcome import Figures, Outcome, Result

HEAD = ("scenario", "connected", "peers", "API calls", "free 304s", "hit rate", "median", "p95")
_NONE = "-"
_STYLES = {Result.OK: "", Result.FAILED: "red", Result.MISSING: "dim"}
_WORDS = {Result.FAILED: "failed", Result.MISSING: "left out"}


class Report(msgspec.Struct, frozen=True):
    """The form of ``--json``."""

    version: str
    workload: Workload
    scenarios: Sequence[Outcome]


def described(load: Workload) -> str:
    """Return a sentence about the workload."""
    return (
        f"{load.runners} jobs of one repository, a token each, read {load.resources} resources {load.rounds} times: "
        f"{load.requests} requests. GitHub is a stand-in that takes {load.latency * 1e3:.0f} ms for an answer."
    )


def terminal(outcomes: Sequence[Outcome]) -> Table:
    """Return the table for a terminal."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in HEAD:
        made.add_column(name, justify="left" if name == HEAD[0] else "right", no_wrap=True)
    for outcome in outcomes:
        made.add_row(*map(Text, _cells(outcome)), style=_STYLES[outcome.status])
    return made


def markdown(outcomes: Sequence[Outcome], load: Workload) -> str:
    """Return a table and its sentences for a job summary or an issue."""
    rows = [HEAD, ("---", *("---:" for _ in HEAD[1:])), *(_cells(outcome) for outcome in outcomes)]
    table = "\n".join(f"| {' | '.join(map(_escaped, row))} |" for row in rows)
    sentences = "\n".join(f"- {_escaped(sentence)}" for sentence in reasons(outcomes))
    return "\n\n".join(filter(None, (table, sentences, described(load))))


def as_json(outcomes: Sequence[Outcome], load: Workload) -> str:
    """Return a `Report`."""
    return msgspec.json.format(msgspec.json.encode(Report(__version__, load, outcomes)), indent=2).decode()


def reasons(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield a sentence for each scenario that was left out or failed."""
    for outcome in outcomes:
        if outcome.reason:
            yield f"{outcome.title}: {_WORDS[outcome.status]}: {outcome.reason}"


def brief(outcome: Outcome) -> str:
    """Return an outcome in one line, without its title."""
    found = outcome.figures
    if found is None:
        return f"{_WORDS[outcome.status]}: {outcome.reason}"
    return f"{_calls(found)} API calls, median {_duration(found.median_ms)}"


def _cells(outcome: Outcome) -> tuple[str, ...]:
    found = outcome.figures
    if found is None:
        return (outcome.title, _WORDS[outcome.status], *(_NONE for _ in HEAD[2:]))
    return (
        outcome.title,
        f"{found.connected} of {found.runners}" if found.connected else _NONE,
        _span(found.peers) if found.connected else _NONE,
        _calls(found),
        str(found.not_modified),
        f"{int(found.hit_rate * 100)} %",
        _duration(found.median_ms),
        _duration(found.p95_ms),
    )


def _calls(found: Figures) -> str:
    return f"{found.charged} of {found.requests}"


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def _escaped(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
