"""`p2pcache doctor` where nothing but Python is: -S leaves out every package that is installed here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BARE = (sys.executable, "-S")


def bare(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run((*BARE, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=50)


@pytest.mark.parametrize("entry", [("-m", "p2pcache"), ("entrypoint.py",)], ids=["module", "entrypoint"])
def test_the_first_check_fails_with_advice_and_no_traceback(entry: tuple[str, ...]) -> None:
    ended = bare(*entry, "doctor")
    assert ended.returncode == 1
    assert ended.stderr == ""
    first, advice = ended.stdout.splitlines()[:2]
    assert first.startswith(" 1  fail  dependencies")
    assert "missing: actions-toolkit" in first
    assert advice.lstrip().startswith("-> ")
    assert "requirements.lock" in advice


def test_what_needs_packages_is_skipped_with_the_reason() -> None:
    document = json.loads(bare("-m", "p2pcache", "doctor", "--json", "--hub").stdout)
    assert document["verdict"] == "fail"
    for check in document["checks"][2:]:
        (finding,) = check["findings"]
        assert (finding["verdict"], finding["found"]) == ("skip", "not examined, since check 1 failed")


@pytest.mark.parametrize("only", ["wings", ""])
def test_arguments_that_cannot_be_used_are_exit_2(only: str) -> None:
    ended = bare("-m", "p2pcache", "doctor", "--only", only)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"p2pcache: --only: read {only!r}")


def test_other_commands_say_what_is_missing_and_who_knows_more() -> None:
    ended = bare("-m", "p2pcache", "up")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert len(ended.stderr.splitlines()) == 1
    assert "p2pcache doctor" in ended.stderr
