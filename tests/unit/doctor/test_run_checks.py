"""The exit status, and what is printed."""

import asyncio
import json
import sys
from types import ModuleType

import pytest

from p2pcache.doctor.finding import Check, Patient, failed, passed, skipped, warned
from p2pcache.doctor.run_checks import Printed, run_checks

FINDINGS = {
    "pass": passed("well"),
    "warn": warned("so so", "mend it"),
    "fail": failed("broken", "mend it"),
    "skip": skipped("not here"),
}


@pytest.fixture(autouse=True)
def checks_of_this_file(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("checks_of_a_test")
    for name, finding in FINDINGS.items():
        setattr(module, f"x_{name}", lambda _, finding=finding: [finding])
    monkeypatch.setitem(sys.modules, module.__name__, module)


def run(*names: str, strict: bool = False, json_form: bool = False) -> tuple[int, str]:
    written: list[str] = []
    checks = [Check(i, name, f"checks_of_a_test:x_{name}") for i, name in enumerate(names, 1)]
    printed = Printed(written.append, json_form=json_form)
    status = asyncio.run(run_checks(Patient(), checks, printed, strict=strict))
    return status, "\n".join(written)


@pytest.mark.parametrize(
    ("names", "usual", "strict"),
    [
        (["pass", "skip"], 0, 0),
        (["pass", "warn"], 0, 1),
        (["warn", "fail", "pass"], 1, 1),
        (["skip"], 0, 0),
    ],
)
def test_the_exit_status_is_the_worst_verdicts(names: list[str], usual: int, strict: int) -> None:
    assert run(*names)[0] == usual
    assert run(*names, strict=True)[0] == strict


def test_people_get_lines_and_a_sum() -> None:
    _, text = run("pass", "fail")
    assert text.splitlines()[0].startswith(" 1  pass")
    assert text.splitlines()[-1] == "2 checks: 1 passed, 1 failed"


def test_programs_get_one_document() -> None:
    _, text = run("pass", "fail", json_form=True)
    assert json.loads(text)["verdict"] == "fail"
