"""Check 2: the package and its native parts load. In a process of their own, which a broken one may take down."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from p2pcache import __version__
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 50.0
"""Of all imports, on a busy machine with no compiled files; less than the check's own deadline."""


class NativePart(NamedTuple):
    """A module with native code; `package` installs it, "" for Python's own."""

    module: str
    package: str
    use: str


PARTS = (
    NativePart("ssl", "", "TLS"),
    NativePart("sqlite3", "", "the disk store"),
    NativePart("msgspec", "msgspec", "settings and frames"),
    NativePart("cryptography.hazmat.primitives.ciphers.aead", "cryptography", "sealing"),
    NativePart("httptools", "httptools", "the gateway"),
    NativePart("uvloop", "uvloop", "the gateway"),
    NativePart("aiohttp", "aiohttp", "requests to GitHub"),
    NativePart("p2pcache.swarm.host", "", "peers"),  # libp2p, which the wheel brings
    NativePart("p2pcache.node", "", "the node"),
)
_PROGRAM = """
import importlib, json, sys, time
sys.path[:] = json.loads(sys.argv[1])
for name in sys.argv[2:]:
    started = time.monotonic()
    try:
        importlib.import_module(name)
        error = ""
    except BaseException as reason:
        error = f"{type(reason).__name__}: {reason}"
    print(json.dumps([name, error, time.monotonic() - started]), flush=True)
    if error:
        break
"""


def examine(patient: Patient) -> Iterator[CheckFinding]:
    """Yield one finding: all parts load, or the first one that does not."""
    del patient
    yield loaded(PARTS)


def loaded(parts: tuple[NativePart, ...], seconds: float = SECONDS) -> CheckFinding:
    """Import `parts` in another process and return what came of it."""
    path = json.dumps([str(ROOT), *sys.path])  # what this process would import, whatever its flags
    command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", _PROGRAM, path, *(part.module for part in parts)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603 - ours
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as error:
        output, status = (error.stdout or b"").decode(errors="replace"), None
    results = [json.loads(line) for line in output.splitlines() if line.startswith("[")]
    times = [f"{name} {taken * 1000:.0f} ms" for name, error, taken in results if not error]
    if len(times) == len(parts):
        total = sum(taken for _, _, taken in results)
        return passed(f"p2pcache {__version__} and its native parts load, in {total:.1f} s", ", ".join(times))
    part = parts[len(times)]
    return _broken(part, results[-1][1] if len(results) > len(times) else "", status, seconds)


def _broken(part: NativePart, error: str, status: int | None, seconds: float) -> CheckFinding:
    if error:
        reason = f"does not load: {error}"
    elif status is None:
        reason = f"was not loaded within {seconds:g} s"
    else:
        reason = f"ended the process with {_ended(status)} when it was loaded"
    if error.startswith(ModuleNotFoundError.__name__) and part.package:
        advice = "install what check 1 names"
    elif part.package:
        advice = f"install it again, for this Python and machine: pip install --force-reinstall {part.package}"
    elif part.module.startswith("p2pcache"):
        advice = "install p2pcache again: what is here is not whole"
    else:
        advice = f"use a Python that was built with {part.module}, e.g. your distribution's or actions/setup-python's"
    return failed(f"{part.module} ({part.use}) {reason}", advice)


def _ended(status: int) -> str:
    if status < 0:
        return signal.Signals(-status).name
    return f"status {status}"
