"""The time until the gateway answers after ``p2pcache up``, and the memory of an idle node with libp2p loaded.

Run it alone: ``python bench/startup.py [--rounds 5]``; exit status 1 if a target is missed. The time is from the start
of the command, including Python's, to the first answer over the socket; RSS is read when the swarm listens.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import _tools as tools

SECONDS, MEGABYTES = 1.0, 130.0
P2PCACHE = (sys.executable, "-m", "p2pcache")


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        _measure(Path(scratch), "warm")  # writes byte code and fills the page cache
        found = [_measure(Path(scratch), str(n)) for n in range(chosen.rounds)]
    seconds, megabytes = (statistics.median(column) for column in zip(*found, strict=True))
    print("each: " + ", ".join(f"{took:.2f} s {weight:.0f} MB" for took, weight in found))
    return tools.verdict(
        [
            ("seconds until the gateway answers", seconds, "<=", SECONDS),
            ("MB of RSS of an idle node", megabytes, "<=", MEGABYTES),
        ]
    )


def _measure(scratch: Path, name: str) -> tuple[float, float]:
    """Return the seconds until the first answer, and the node's RSS in MB when its swarm listens."""
    secret = subprocess.run([*P2PCACHE, "keygen"], check=True, capture_output=True, text=True).stdout.strip()
    env = tools.clean_environment(scratch, CACHE_SECRET=secret)
    directory = scratch / name
    place = ["--dir", str(directory)]
    path = directory / "s"
    began = time.monotonic()
    flags = [*place, "--socket", str(path), "--p2p-listen", "/ip4/127.0.0.1/tcp/0"]
    up = subprocess.Popen([*P2PCACHE, "up", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
    try:
        _answers(path)
        took = time.monotonic() - began
        _, errors = up.communicate(timeout=tools.START_SECONDS)
        if up.returncode:
            sys.exit(errors.decode())
        return took, _rss(_joined(directory)["pid"])
    finally:
        up.kill()
        up.communicate()
        subprocess.run([*P2PCACHE, "down", *place], check=False, capture_output=True, env=env)


def _answers(path: Path) -> None:
    end = time.monotonic() + tools.START_SECONDS
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.settimeout(tools.START_SECONDS)
            probe.connect(str(path))
            probe.sendall(b"GET /-/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if probe.recv(12) == b"HTTP/1.1 200":
                return
        time.sleep(0.005)
    sys.exit("the gateway does not answer")


def _joined(directory: Path) -> dict[str, Any]:
    end = time.monotonic() + tools.START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            state: dict[str, Any] = json.loads((directory / "run" / "ready.json").read_bytes())
            if state["p2p"] == "ready":
                return state
            if state["p2p"].startswith("failed"):
                sys.exit(f"the swarm did not start: {state['p2p']}")
        time.sleep(0.02)
    sys.exit("the swarm did not start in time")


def _rss(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    sys.exit(main())
