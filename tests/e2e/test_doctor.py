"""`p2pcache doctor` where nothing is installed, beside a node of `p2pcache up`, and in a job."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Run, StandIn
from tests.support.workflows import USE

IMAGE = "python:3.11-slim-bookworm"


@pytest.mark.needs("docker")
@pytest.mark.parametrize("entry", ["/src/entrypoint.py", "-m p2pcache"])
def test_in_a_container_with_python_alone_the_first_check_says_what_is_missing(
    checkout: Path, docker: Callable[..., str], entry: str
) -> None:
    mounted = ["--network", "none", "-v", f"{checkout}:/src:ro", "-w", "/src"]
    script = f"python3 {entry} doctor && exit 99; echo status $?"
    said = docker("run", "--rm", *mounted, IMAGE, "sh", "-c", script, seconds=100)
    assert "1  fail  dependencies" in said
    assert "missing: actions-toolkit" in said
    assert "-> in /src: python3 -m venv" in said
    assert "not examined, since check 1 failed" in said
    assert "status 1" in said
    assert "Traceback" not in said


def test_beside_a_node_that_was_started_in_the_background(tmp_path: Path, github: StandIn) -> None:
    """The whole of it, with packages, a socket, a port and the stores of a node that runs."""
    environ = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "LANG")},
        "HOME": str(tmp_path),
        "CACHE_DIR": str(tmp_path / "node"),
        "CACHE_SECRET": secrets.token_hex(32),
        "CACHE_UPSTREAM": github.url,
    }
    command = f"""
set -e
eval "$({sys.executable} -m p2pcache up)"
trap 'eval "$({sys.executable} -m p2pcache down 2>/dev/null)"' EXIT
{sys.executable} -m p2pcache doctor --json
"""
    done = subprocess.run(["bash", "-c", command], env=environ, capture_output=True, text=True, timeout=200)
    document = json.loads(done.stdout)
    found = {check["number"]: check for check in document["checks"]}
    assert done.returncode == 0, document
    assert "a node runs" in found[3]["findings"][0]["found"]
    for number in (1, 2, 3, 5, 6, 7, 11, 12):
        assert found[number]["verdict"] == "pass", found[number]
    assert [each["verdict"] for each in found[12]["findings"][:2]] == ["pass", "pass"], "the socket and the port"
    assert environ["CACHE_SECRET"] not in done.stdout + done.stderr


STEPS = """
on: push
jobs:
  one:
    runs-on: ubuntu-latest
    env: {GH_TOKEN: "${{ secrets.GITHUB_TOKEN }}", GITHUB_TOKEN: "${{ secrets.GITHUB_TOKEN }}"}
    steps:
"""


@pytest.mark.needs("act", "node", "gh")
@pytest.mark.usefixtures("nothing_left_behind")
def test_a_job_shows_what_is_found_and_goes_on(act: Callable[..., Run]) -> None:
    secret = secrets.token_hex(32)
    use = USE + "          diagnose: true\n          share: verified\n"
    run = act(STEPS + use + "      - run: echo went on\n", "-s", f"CACHE_SECRET={secret}")
    assert run.code == 0, run.log
    assert "went on" in run.lines
    assert "::group::p2pcache doctor" in run.log
    assert any(line.startswith("3 pass  node: a node runs") for line in map(str.strip, run.lines)), run.log
    assert any(line.startswith("p2pcache doctor: ") for line in run.lines), run.log
    assert "p2pcache doctor" in run.summary
    assert secret not in run.log
