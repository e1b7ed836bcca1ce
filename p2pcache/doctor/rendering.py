"""How results are printed: lines for people, and the JSON of docs/doctor.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from p2pcache.doctor.examination import Examined
from p2pcache.doctor.finding import CheckVerdict, worst

VERSION = 1
"""Of the JSON; it grows within a version, and nothing in it changes its meaning."""
_NAME_WIDTH = 17
_INDENT = " " * (2 + 2 + 4 + 2 + _NAME_WIDTH + 1)
_COLOURS = {CheckVerdict.PASS: 32, CheckVerdict.WARN: 33, CheckVerdict.FAIL: 31, CheckVerdict.SKIP: 2}
_DIM = 2
_WORDS = {
    CheckVerdict.PASS: ("passed", "passed"),
    CheckVerdict.WARN: ("warning", "warnings"),
    CheckVerdict.FAIL: ("failed", "failed"),
    CheckVerdict.SKIP: ("skipped", "skipped"),
}


def lines(examined: Examined, *, coloured: bool) -> Iterator[str]:
    """Yield the lines of one check: one for each finding, its advice and details below it."""
    head = f"{examined.check.number:>2}"
    name = examined.check.name
    for finding in examined.findings:
        verdict = _painted(finding.verdict, _COLOURS[finding.verdict], coloured=coloured)
        yield f"{head}  {verdict}  {name:<{_NAME_WIDTH}} {finding.found}"
        for line in finding.detail:
            yield _INDENT + _painted(line, _DIM, coloured=coloured)
        if finding.advice:
            yield f"{_INDENT}-> {finding.advice}"
        head, name = "  ", ""


def summary(results: Sequence[Examined]) -> str:
    """Return the last line, e.g. ``12 checks: 10 passed, 1 warning, 1 failed``."""
    counts = Counter(result.verdict for result in results)
    parts = [
        f"{count} {_WORDS[verdict][count > 1]}"
        for verdict in (CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL, CheckVerdict.SKIP)
        if (count := counts[verdict])
    ]
    return f"{len(results)} check{'s' if len(results) > 1 else ''}: {', '.join(parts)}"


def as_json(results: Sequence[Examined]) -> dict[str, Any]:
    """Return the results as docs/doctor.md#json has them."""
    return {
        "version": VERSION,
        "checks": [
            {
                "number": result.check.number,
                "name": result.check.name,
                "verdict": str(result.verdict),
                "seconds": round(result.seconds, 3),
                "findings": [
                    {
                        "verdict": str(finding.verdict),
                        "found": finding.found,
                        "advice": finding.advice,
                        "detail": list(finding.detail),
                    }
                    for finding in result.findings
                ],
            }
            for result in results
        ],
        "verdict": str(overall(results)),
        "summary": summary(results),
    }


def overall(results: Sequence[Examined]) -> CheckVerdict:
    """Return the worst verdict."""
    return worst(result.verdict for result in results)


def _painted(text: str, colour: int, *, coloured: bool) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if coloured else text
