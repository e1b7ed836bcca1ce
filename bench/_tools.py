"""Shared by the benchmarks: processes that end with the run, wrk, and the comparison with targets."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 30.0
_PERCENTILES = """
done = function(summary, latency, requests)
  io.write(string.format("p50 %d p95 %d\\n", latency:percentile(50), latency:percentile(95)))
end
"""
"""For wrk, which counts in microseconds, and prints no 95th percentile by itself."""


@dataclass(frozen=True, slots=True)
class Load:
    """The result of wrk: median and 95th percentile of the latency in milliseconds, and requests per second."""

    p50: float
    p95: float
    rate: float


def needs(*programs: str) -> None:
    """Exit with status 0 if a program is missing: a benchmark is no test."""
    for program in programs:
        if shutil.which(program) is None:
            print(f"left out: {program} is not installed")
            sys.exit(0)


@contextlib.contextmanager
def process(*command: str, log: Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process for the duration of the block."""
    with log.open("ab") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output, env=env)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def clean_environment(home: Path, **variables: str) -> dict[str, str]:
    """Return an environment with nothing of this machine's except PATH."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **variables}


def ready(file: Path, started: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """Wait for a ready file and return its content."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and started.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(file.read_bytes())
            return found
        time.sleep(0.005)
    sys.exit(f"it did not start:\n{log.read_text()[-2000:]}")


def free_port() -> int:
    """Return a TCP port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> None:
    """Wait until a process listens on `port`."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    sys.exit(f"nobody listens on port {port}")


def get(port: int, path: str, headers: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """Send a request; return the headers, with lower-case names, and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=dict(headers))
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        sys.exit(f"port {port} answered {answer.status}: {body[:200]!r}")
    return {name.lower(): value for name, value in answer.getheaders()}, body


def wrk(
    url: str,
    connections: int,
    seconds: int,
    headers: Mapping[str, str],
    program: str = "wrk",
    env: Mapping[str, str] | None = None,
) -> Load:
    """Run wrk, or a copy of it, with one thread."""
    lines = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_PERCENTILES)
        script.flush()
        command = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script.name, *lines, url]
        output = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(output)
    found = re.search(r"^p50 (\d+) p95 (\d+)$", output, re.MULTILINE)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if found is None or rate is None:
        sys.exit(f"wrk said nothing usable:\n{output}")
    return Load(int(found[1]) / 1000, int(found[2]) / 1000, float(rate[1]))


def verdict(rows: Sequence[tuple[str, float, str, float]]) -> int:
    """Print rows of (name, figure, "<=" or ">=", target); return 1 if a target is missed, else 0."""
    missed = 0
    for what, figure, sign, target in rows:
        met = figure <= target if sign == "<=" else figure >= target
        missed += not met
        print(f"{'met   ' if met else 'MISSED'}  {what}: {figure:.2f} (target {sign} {target:g})")
    return 1 if missed else 0
