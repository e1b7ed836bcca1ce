"""What a job shows of a diagnosis, and that none can harm it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from p2pcache.runner.diagnosis import as_markdown, diagnosed, show
from p2pcache.runner.job import Job

FINDINGS = [
    {"verdict": "fail", "found": "CACHE_SECRET: too short", "advice": "set CACHE_SECRET", "detail": ["took 2 s"]},
    {"verdict": "pass", "found": "well", "advice": "", "detail": []},
]
DOCUMENT = {
    "version": 1,
    "checks": [{"number": 6, "name": "encryption", "verdict": "fail", "seconds": 0.1, "findings": FINDINGS}],
    "verdict": "fail",
    "summary": "1 check: 1 failed",
}


def doctor(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> Job:
    """A Python whose doctor is this shell script."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.delenv("INPUT_SECRET", raising=False)
    return Job(folder / "job")


def test_the_jobs_own_node_is_examined_and_inputs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "document").write_text(json.dumps(DOCUMENT))
    job = doctor(monkeypatch, tmp_path, f"echo $* $CACHE_SHARE >{tmp_path}/asked; cat {tmp_path}/document; exit 1")
    found = diagnosed(job, {"PATH": "/usr/bin:/bin", "CACHE_SHARE": "verified"})
    asked = (tmp_path / "asked").read_text().split()
    assert asked[-6:] == ["--json", "--dir", str(job.node), "--socket", str(job.socket), "verified"]
    assert found["summary"] == "1 check: 1 failed"
    assert found["checks"][0]["findings"][0]["found"] == "input secret: too short"
    assert found["checks"][0]["findings"][0]["advice"] == "set input secret"


@pytest.mark.parametrize(
    ("script", "summary"),
    [
        ("echo nonsense", "it gave no result"),
        ("exit 3", "it gave no result"),
        ("echo '[]'", "it gave no result"),
        ("echo '{}'", "it gave no result"),
        ("exec sleep 50", "no result within 0.5 s"),
    ],
)
def test_a_doctor_that_fails_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, summary: str
) -> None:
    job = doctor(monkeypatch, tmp_path, script)
    found = diagnosed(job, {"PATH": "/usr/bin:/bin"}, 0.5 if "sleep" in script else 45)
    assert found == {"summary": summary, "checks": []}
    assert summary in as_markdown(found)


def test_the_log_has_a_folded_group_and_no_other_command(capsys: pytest.CaptureFixture[str]) -> None:
    evil: Any = json.loads(json.dumps(DOCUMENT))
    evil["checks"][0]["findings"][0] |= {"found": "::error::x", "advice": "##[error]y", "detail": ["  ::set-output::z"]}
    evil["summary"] = "::add-mask::x"
    show(evil)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "::group::p2pcache doctor"
    assert " 6 fail  encryption: : :error: :x" in lines
    assert lines[-2] == "::endgroup::"
    assert [line for line in lines if line.lstrip().startswith("::")] == [lines[0], lines[-2]]
    assert "##[" not in "".join(lines)


def test_the_summary_has_a_table_of_what_is_wrong_and_all_of_it_folded() -> None:
    text = as_markdown(DOCUMENT)
    assert text.startswith("### p2pcache doctor: 1 check: 1 failed\n")
    above, _, below = text.partition("<details>")
    assert "| \N{CROSS MARK} | 6 encryption | CACHE&#95;SECRET: too short | set CACHE&#95;SECRET |" in above
    assert "| well |" not in above
    assert "| \N{WHITE HEAVY CHECK MARK} | 6 encryption | well |  |" in below


def test_no_cell_ends_its_table() -> None:
    evil: Any = json.loads(json.dumps(DOCUMENT))
    evil["checks"][0]["findings"][0]["found"] = "a | b <script> `c`\n| d"
    rows = [line for line in as_markdown(evil).splitlines() if "encryption" in line]
    assert all(row.count("|") == 5 for row in rows)
    assert "<script>" not in as_markdown(evil)
