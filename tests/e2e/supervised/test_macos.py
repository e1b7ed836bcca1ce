"""A supervised node and a command around it where Linux's own calls are not there, as on macOS."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pcache.runner import watch
from tests.support import macos

ROOT = Path(__file__).parents[3]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} {macos.__file__} {interpreter} "$@"\n')
    interpreter.chmod(0o755)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "CACHE_DIR": str(tmp_path / "run"),
            "PYTHONPATH": str(ROOT), "CACHE_UPSTREAM": "http://127.0.0.1:9", "CACHE_SECRET": secrets.token_hex(32),
            "RUNNER_TRACKING_ID": "github_1",
        }  # fmt: skip
        return subprocess.run(
            [interpreter, "-m", "p2pcache", *arguments], env=environ, cwd=tmp_path, capture_output=True, text=True,
            timeout=55, check=False,
        )  # fmt: skip

    return run


def test_a_node_is_kept_alive_and_stopped(cli: Cli, tmp_path: Path) -> None:
    up = cli("up")
    try:
        assert up.returncode == 0, up.stderr
        assert "P2PCACHE_API_URL" in up.stdout
        (state,) = tmp_path.rglob("supervisor.json")
        first = json.loads(state.read_text())
        assert first["started"], "known by when it started, without /proc"
        os.kill(first["node"], signal.SIGKILL)
        end = time.monotonic() + 30
        while json.loads(state.read_text())["restarts"] < 1 and time.monotonic() < end:
            time.sleep(0.05)
        assert json.loads(state.read_text())["restarts"] == 1, "another node was started"
    finally:
        down = cli("down")
    assert down.returncode == 0, down.stderr
    assert watch.started_at(first["pid"]) is None


def test_a_command_is_run_with_a_node_around_it(cli: Cli) -> None:
    asks = "import os, urllib.request as u; print(u.urlopen(os.environ['P2PCACHE_API_URL'] + '/-/healthz').read())"
    done = cli("run", "--", sys.executable, "-c", asks)
    assert done.returncode == 0, done.stderr
    assert '"status"' in done.stdout
    assert "Traceback" not in done.stderr
