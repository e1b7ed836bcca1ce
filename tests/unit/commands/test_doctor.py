"""`p2pcache doctor` as a shell sees it."""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from p2pcache.commands.doctor import in_colour
from p2pcache.doctor.checks import CHECKS
from tests.support.commands import inside


def test_it_prints_checks_and_a_sum(tmp_path: Path) -> None:
    ended = inside(tmp_path, "doctor", "--only", "1")
    assert ended.returncode == 0
    first, _, last = ended.stdout.splitlines()
    assert first.startswith(" 1  pass  dependencies")
    assert last == "1 check: 1 passed"
    assert "\x1b" not in ended.stdout, "this is no terminal"


def test_for_programs_it_is_a_document(tmp_path: Path) -> None:
    document = json.loads(inside(tmp_path, "doctor", "--only", "1", "--json").stdout)
    assert (document["version"], document["verdict"]) == (1, "pass")


def test_a_setting_that_cannot_be_read_is_no_end_of_the_examination(tmp_path: Path) -> None:
    ended = inside(tmp_path, "doctor", "--only", "1,4", CACHE_SHARE="all")
    assert ended.returncode == 1
    assert [line[1:9] for line in ended.stdout.splitlines() if line[1:2].isdigit()] == [
        "1  pass ",
        "4  skip ",
        "7  fail ",
    ]


def test_a_signal_is_no_failed_check(tmp_path: Path) -> None:
    """As Ctrl-C in a terminal; 1 would be a failure that was found."""
    command = ["env", "--default-signal=INT", sys.executable, "-m", "p2pcache", "doctor", "--only", "1,3"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}
    doctor = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True, bufsize=1)
    assert doctor.stdout
    assert doctor.stdout.readline().startswith(" 1  ")
    doctor.send_signal(signal.SIGINT)
    rest, _ = doctor.communicate(timeout=60)
    assert (doctor.returncode, "check" in rest) == (130, False)


def test_colours_are_for_terminals_and_for_those_that_like_them() -> None:
    assert in_colour({}, terminal=True)
    assert in_colour({"NO_COLOR": ""}, terminal=True)
    assert not in_colour({"NO_COLOR": "1"}, terminal=True)
    assert not in_colour({}, terminal=False)


def test_what_is_disabled_meanwhile_is_enabled_again(tmp_path: Path) -> None:
    before = logging.root.manager.disable
    inside(tmp_path, "doctor", "--only", "1")
    assert logging.root.manager.disable == before


def test_help_says_what_the_exit_status_means(tmp_path: Path) -> None:
    text = " ".join(inside(tmp_path, "doctor", "--help").stdout.split())
    assert "Exits with 0 if nothing failed, 1 if a check failed, 2 if the arguments cannot be used." in text


def test_every_check_is_named_where_it_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs/doctor.md").read_text("utf-8")
    for check in CHECKS:
        assert f"\n| {check.number} {check.name} | " in page
