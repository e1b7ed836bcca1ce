"""``p2pcache doctor`` once its arguments are known: run, print, return the exit status."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from p2pcache.doctor.examination import Examined, examined
from p2pcache.doctor.finding import Check, CheckVerdict, Patient
from p2pcache.doctor.rendering import as_json, lines, overall, summary


@dataclass(frozen=True, slots=True)
class Printed:
    """How results are printed: by `write`, a line or one JSON document a call; `hide` is for `Redaction`."""

    write: Callable[[str], None]
    json_form: bool = False
    coloured: bool = False
    hide: Callable[[str], str] = str


async def run_checks(patient: Patient, checks: Sequence[Check], printed: Printed, *, strict: bool = False) -> int:
    """Run `checks`, print each as soon as it can be shown, and return the exit status (docs/doctor.md)."""
    results: list[Examined] = []
    async for result in examined(patient, checks, printed.hide):
        results.append(result)
        if not printed.json_form:
            for line in lines(result, coloured=printed.coloured):
                printed.write(line)
    printed.write(json.dumps(as_json(results), indent=2) if printed.json_form else f"\n{summary(results)}")
    return exit_status(overall(results), strict=strict)


def exit_status(verdict: CheckVerdict, *, strict: bool) -> int:
    """Return 1 for a failure, and for a warning where it is `strict`, else 0."""
    return int(verdict is CheckVerdict.FAIL or (strict and verdict is CheckVerdict.WARN))
