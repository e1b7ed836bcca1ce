"""What ``p2pcache doctor`` finds in a job: asked for as a process of its own, which can fail no job, then shown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from actions_toolkit import core  # type: ignore[import-untyped]  # it ships no types

from p2pcache.runner.inputs import with_input_names
from p2pcache.runner.job import Job, exported, node_outputs
from p2pcache.runner.report import escaped, plain
from p2pcache.runner.supervisor import ready

SECONDS = 45.0
"""For all checks: with what else the step does, less than `action.main` waits."""
MAX_TEXT = 500
TITLE = "p2pcache doctor"
_MARKS = {"pass": "\N{WHITE HEAVY CHECK MARK}", "warn": "\N{WARNING SIGN}", "fail": "\N{CROSS MARK}"}
_SKIPPED = "\N{EN DASH}"


def diagnosed(job: Job, variables: Mapping[str, str], seconds: float = SECONDS) -> dict[str, Any]:
    """Return the document of ``p2pcache doctor --json`` about the job's node; one without checks where that failed.

    Args:
        job: whose node runs.
        variables: what the node was started with.
        seconds: for all of it.
    """
    flags = ["--dir", str(job.node), "--socket", str(job.socket)]
    seen = {**variables, **exported(node_outputs(ready(job.run) or _UNKNOWN)), **_gh(job)}
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "p2pcache", "doctor", "--json", *flags],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, env=seen, timeout=seconds, check=False,
        )  # fmt: skip
        found = json.loads(done.stdout)
        return {"summary": str(found["summary"]), "checks": [_named(check, variables) for check in found["checks"]]}
    except subprocess.TimeoutExpired:
        return _nothing(f"no result within {seconds:g} s")
    except (OSError, ValueError, KeyError, TypeError):
        return _nothing("it gave no result")


def show(diagnosis: Mapping[str, Any]) -> None:
    """Print a diagnosis as a folded group of the log, and a line below it."""
    core.start_group(TITLE)
    for check in diagnosis["checks"]:
        for finding in check["findings"]:
            core.info(
                plain(f"{check['number']:>2} {finding['verdict']}  {check['name']}: {finding['found']}", MAX_TEXT)
            )
            for line in finding["detail"]:
                core.info(f"         {plain(line, MAX_TEXT)}")
            if finding["advice"]:
                core.info(f"      -> {plain(finding['advice'], MAX_TEXT)}")
    core.end_group()
    core.info(plain(f"{TITLE}: {diagnosis['summary']}", MAX_TEXT))


def as_markdown(diagnosis: Mapping[str, Any]) -> str:
    """Return a diagnosis for the job summary: a table of what does not pass, then all of it, folded."""
    rows = list(_rows(diagnosis))
    wrong = [row for row in rows if row[0] in (_MARKS["warn"], _MARKS["fail"])]
    parts = [f"### {TITLE}: {escaped(diagnosis['summary'])}", _table(wrong)]
    if rows:
        parts += ["<details><summary>All checks</summary>", _table(rows), "</details>"]
    return "\n\n".join(part for part in parts if part) + "\n"


_UNKNOWN = {"api_url": "", "graphql_url": "", "socket": ""}


def _gh(job: Job) -> dict[str, str]:
    """Return the variable that later steps have, where gh is led to the node."""
    return {"GH_CONFIG_DIR": str(job.gh)} if (job.gh / "config.yml").exists() else {}


def _nothing(sentence: str) -> dict[str, Any]:
    return {"summary": sentence, "checks": []}


def _named(check: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Return a check with the Action's inputs in place of the variables that they set."""
    findings = [
        {**finding, **{part: with_input_names(finding[part], variables) for part in ("found", "advice")}}
        for finding in check["findings"]
    ]
    return {**check, "findings": findings}


def _rows(diagnosis: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for check in diagnosis["checks"]:
        for finding in check["findings"]:
            mark = _MARKS.get(finding["verdict"], _SKIPPED)
            texts = (f"{check['number']} {check['name']}", finding["found"], finding["advice"])
            yield (mark, *(escaped(text, MAX_TEXT) for text in texts))


def _table(rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    lines = [("", "Check", "Found", "What to do"), (":-:", ":--", ":--", ":--"), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
