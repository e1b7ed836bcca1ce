"""The product's processes as users run them, for tests that need real ones: a stand-in GitHub, and nodes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from p2pcache.gateway.ask import UnixConnection

START_SECONDS = 30.0


@dataclass
class GitHub:
    """The stand-in, through its control addresses."""

    url: str

    def order(self, action: str, /, **what: object) -> Any:
        request = urllib.request.Request(f"{self.url}/_stand-in/{action}", json.dumps(what).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def get(self, target: str, token: str) -> bytes:
        """The body of a good answer, asked for directly."""
        sent = {"Authorization": f"token {token}", "Accept": "application/vnd.github+json", "User-Agent": "test"}
        with urllib.request.urlopen(urllib.request.Request(self.url + target, headers=sent), timeout=10) as response:
            body: bytes = response.read()
            return body

    def charged(self, token: str = "") -> int:
        """Calls that GitHub counted, of one token or of all."""
        of = f"?token={token}" if token else ""
        with urllib.request.urlopen(f"{self.url}/_stand-in/charged{of}", timeout=10) as response:
            charged: int = json.load(response)["charged"]
            return charged

    def log(self) -> list[dict[str, Any]]:
        """What was asked, oldest first: `p2pcache.testing.faults.Call`s."""
        with urllib.request.urlopen(f"{self.url}/_stand-in/calls", timeout=10) as response:
            asked: list[dict[str, Any]] = json.load(response)
            return asked

    def calls(self, path: str = "") -> list[tuple[str, str]]:
        """Method and target of what was asked, oldest first; of one path only, if given."""
        asked = [(call["method"], call["target"]) for call in self.log()]
        return [call for call in asked if call[1].partition("?")[0] == path] if path else asked


@dataclass
class Node:
    """A running node."""

    api_url: str
    socket: Path
    pid: int = 0
    ready_file: Path = Path()
    log: Path = Path()

    @property
    def ready(self) -> dict[str, Any]:
        """The ready file as it is now."""
        ready: dict[str, Any] = json.loads(self.ready_file.read_text())
        return ready

    def get(self, target: str, token: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower-case names) and body of an API read through this node."""
        sent = {"Authorization": f"token {token}", "Accept": "application/vnd.github+json", **headers}
        request = urllib.request.Request(self.api_url + target, headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, {k.lower(): v for k, v in response.headers.items()}, response.read()
        except urllib.error.HTTPError as error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()

    def until(self, holds: Callable[[dict[str, Any]], object], what: str, seconds: float = START_SECONDS) -> None:
        """Wait for `holds(stats)`."""
        deadline = time.monotonic() + seconds
        while not holds(self.control("stats")):
            if time.monotonic() > deadline:
                pytest.fail(f"{what}: not within {seconds} s")
            time.sleep(0.02)

    def control(self, path: str, body: object = None) -> Any:
        connection = UnixConnection(str(self.socket), timeout=10)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", f"/-/{path}", data)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            return json.load(response)


def environment(home: Path, **more: str) -> dict[str, str]:
    """What a process needs, and nothing that this machine's own GitHub clients left lying about."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "COVERAGE_PROCESS_START") if name in os.environ}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **more}


def job(token: str, repository: str) -> dict[str, str]:
    """What a node in a job of `repository` is told, by the runner and by the Action."""
    return {"GITHUB_ACTIONS": "true", "CACHE_JOB_TOKEN": token, "GITHUB_REPOSITORY": repository}


@contextlib.contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[None]:
    """End a process that leads a session, and all of that session, whatever became of the test."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def running(
    module: str,
    *arguments: str,
    home: Path,
    files: int = 0,
    environ: Mapping[str, str] = MappingProxyType({}),
    **variables: str,
) -> Iterator[dict[str, Any]]:
    """Run ``python -m module`` until it is ready; gives what its ready file says. `files` is how many it may open.

    Variables of its environment are given by `environ` or by name.
    """
    home.mkdir(parents=True, exist_ok=True)
    ready, log = home / f"{module}.json", home / f"{module}.log"
    command = [sys.executable, "-m", module, *arguments, "--ready-file", str(ready)]
    if files:
        command = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment(home, **environ, **variables))
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{module} did not start:\n{log.read_text()}")
            time.sleep(0.02)
        yield {**json.loads(ready.read_text()), "ready_file": ready, "log": log}
        process.terminate()
        process.wait(timeout=10)
    finally:
        process.kill()
        process.wait()
