"""The cost of the cache for a job: seconds at its start and end, megabytes, memory; and the break-even.

The Action's first step (`post/start.sh`) and its last, as the runner runs them: the first job of a runner with empty
caches, with uv on the path and with pip alone; then later jobs. Targets: first <= 20 s, later <= 2 s.
"""

from __future__ import annotations

import json
import os
import resource
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIRST_SECONDS, LATER_SECONDS = 20.0, 2.0
LATER_RUNS = 5
CALL_SECONDS = 0.2
"""Approximate time of a call to api.github.com from a hosted runner; a hit takes a thousandth of it."""
# A runner's Python has pip; that of a development environment may not.
PYTHON = Path(sys.base_prefix, "bin")


@dataclass(frozen=True)
class Job:
    """The cost of one job: seconds, CPU seconds, bytes."""

    start: float
    end: float
    cpu: float
    memory: int
    received: int


def job(base: Path, tool_cache: Path, **variables: str) -> Job:
    """Run the Action's first and last step as the runner would."""
    shutil.rmtree(base, ignore_errors=True)
    workspace = base / "work/app/app"
    workspace.mkdir(parents=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("INPUT_", "CACHE_", "GITHUB_", "P2PCACHE_"))}
    files = {name: str(base / name) for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
    for path in files.values():
        Path(path).touch()
    places = {
        "RUNNER_TEMP": str(base / "temp"), "RUNNER_TOOL_CACHE": str(tool_cache), "GITHUB_WORKSPACE": str(workspace),
        "GITHUB_ACTION_PATH": str(ROOT), "GITHUB_API_URL": "https://api.github.com",
    }  # fmt: skip
    inputs = {"INPUT_STRICT": "true", "INPUT_SECRET": secrets.token_hex(32), "INPUT_LISTEN_PORT": "0"}
    kept["PATH"] = f"{PYTHON}{os.pathsep}{kept['PATH']}"
    environ = {**kept, **files, **places, **inputs, **variables}
    before, spent = bytes_received(), children()
    start = seconds(["sh", "-e", "-c", '. "$GITHUB_ACTION_PATH/post/start.sh"'], environ)
    received = bytes_received() - before
    state = json.loads((base / "temp/p2pcache/run/supervisor.json").read_text())
    pids = state["pid"], state["node"]
    cpu = children() - spent + sum(map(used, pids))
    memory = sum(map(resident, pids))
    (inside,) = tool_cache.glob("p2pcache/*/bin/python")
    environ.update(PYTHONPATH=str(ROOT), PYTHONSAFEPATH="1")
    return Job(start, seconds([str(inside), "-m", "p2pcache.runner.main", "finish"], environ), cpu, memory, received)


def seconds(command: list[str], environ: dict[str, str]) -> float:
    """Run a command and return its duration in seconds."""
    begun = time.perf_counter()
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    took = time.perf_counter() - begun
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return took


def children() -> float:
    """Return the CPU seconds of finished child processes, nearly the same on a busy machine."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def used(pid: int) -> float:
    """Return the CPU seconds of a process (proc(5), /proc/pid/stat, fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


def bytes_received() -> int:
    """Return the bytes that this machine's network interfaces have received."""
    rows = [line.split(":") for line in Path("/proc/net/dev").read_text().splitlines() if ":" in line]
    return sum(int(counts.split()[0]) for name, counts in rows if name.strip() != "lo")


def without_uv() -> str:
    """Return PATH without the folders that contain uv."""
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join([str(PYTHON), *(folder for folder in folders if not Path(folder, "uv").exists())])


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        nothing_kept = {"UV_CACHE_DIR": str(base / "uv-cache"), "PIP_CACHE_DIR": str(base / "pip-cache")}
        if shutil.which("uv"):
            first = job(base / "job", base / "uv", **nothing_kept)
            print(f"first job, uv:  {first.start:6.2f} s (to reach: {FIRST_SECONDS:g}), {first.cpu:.1f} of the CPU")
            shutil.rmtree(base / "uv-cache")
        first = job(base / "job", base / "pip", PATH=without_uv(), **nothing_kept)
        print(f"first job, pip: {first.start:6.2f} s (to reach: {FIRST_SECONDS:g}), {first.cpu:.1f} of the CPU")
        later = [job(base / "job", base / "pip") for _ in range(LATER_RUNS)]
        start, end, cpu = (statistics.median(getattr(one, name) for one in later) for name in ("start", "end", "cpu"))
        print(
            f"later jobs:     {start:6.2f} s at the beginning (to reach: {LATER_SECONDS:g}), {end:.2f} s at the end",
            end=", ",
        )
        print(f"{cpu:.1f} of the CPU")
        size = sum(f.stat().st_size for f in (base / "pip").rglob("*") if f.is_file() and not f.is_symlink())
        print(f"received {first.received / 1e6:.0f} MB, on disk {size / 1e6:.0f} MB", end=", ")
        print(f"memory {max(one.memory for one in later) / 1e6:.0f} MB")
        won = [paid / CALL_SECONDS for paid in (first.start + end, start + end)]
        print(f"won back after {won[0]:.0f} saved calls of {CALL_SECONDS:g} s (assumed), later {won[1]:.0f}")


if __name__ == "__main__":
    main()
