"""What the Action runs first, with whatever Python the runner has: standard library only, syntax of Python 3.8.

It builds the locked environment or reuses the one in the runner's tool cache, then starts `p2pcache.runner.main` there.
Whatever goes wrong, the job goes on: one warning, and outputs that lead straight to GitHub. With `strict`, it fails.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "requirements.lock"
UV_LOCK = ROOT / "requirements-uv.lock"
OLDEST, NEWEST = (3, 11), (3, 13)
BUILD_SECONDS = 300
HAND_OVER_SECONDS = 120
DESCRIBE = "import sys; print(*sys.version_info[:3], sys.base_prefix, sep='\\n')"
ADVICE = "add `uses: actions/setup-python` with python-version 3.12 before it, or use p2pcache's Docker action"


class SetupError(Exception):
    """The environment cannot be had; the message says why and what to do."""


def run(command: list[str], cwd: Path | None = None) -> str:
    """Run a command to its end without input; a failure becomes a SetupError with the last line it wrote."""
    environ = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_REQUIRE", "PIP_TARGET", "VIRTUAL_"))
    }
    try:
        done = subprocess.run(  # noqa: S603 - commands of this file only
            command, stdin=subprocess.DEVNULL, capture_output=True, cwd=cwd, text=True,
            timeout=BUILD_SECONDS, env=dict(environ, PIP_DISABLE_PIP_VERSION_CHECK="1"), check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{Path(command[0]).name}: {error}") from None
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise SetupError(f"{' '.join(Path(part).name for part in command[:4])}: {lines[-1] if lines else 'failed'}")
    return done.stdout


def describe(python: str) -> tuple[str, str] | None:
    """(version, prefix) of an interpreter, or None when it is none or not one that p2pcache runs on."""
    try:
        major, minor, micro, prefix = run([python, "-I", "-c", DESCRIBE]).splitlines()[-4:]
    except (SetupError, ValueError):
        return None
    supported = OLDEST <= (int(major), int(minor)) <= NEWEST
    return (f"{major}.{minor}.{micro}", prefix) if supported else None


def find_python() -> tuple[str, tuple[str, str]]:
    """A supported interpreter and its description: this one, one on the path, or one of the runner's tool cache.

    Raises:
        SetupError: when there is none.
    """
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys.executable, (platform.python_version(), sys.base_prefix)
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    found = [path for path in map(shutil.which, names) if path]
    cached = Path(os.environ.get("RUNNER_TOOL_CACHE", "/nonexistent"), "Python")
    found += [str(p) for p in sorted(cached.glob("3.1[123].*/*/bin/python3"), reverse=True)]
    for python in found:
        described = describe(python)
        if described:
            return python, described
    raise SetupError(f"Python 3.11, 3.12 or 3.13 is needed and only {platform.python_version()} is here: {ADVICE}")


def environment_key(version: str, prefix: str) -> str:
    """Names an environment by everything it depends on."""
    parts = [LOCK.read_bytes().hex(), version, prefix, platform.machine(), *platform.libc_ver()]
    return f"py{version}-" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def store() -> Path:
    """Where environments are kept: the tool cache outlives the job on a runner that is not thrown away."""
    for base in (os.environ.get("RUNNER_TOOL_CACHE"), os.environ.get("RUNNER_TEMP")):
        if base:
            folder = Path(base, "p2pcache")
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError:
                continue
            if os.access(folder, os.W_OK):
                return folder
    raise SetupError("neither RUNNER_TOOL_CACHE nor RUNNER_TEMP names a folder that can be written: set one of them")


def find_uv(python: str, aside: Path) -> str | None:
    """The path of uv: the runner's own, else a pinned one by pip, else None."""
    uv = shutil.which("uv")
    if uv:
        return uv
    target = aside / "uv"
    try:
        run([python, "-I", "-m", "pip", "install", "-q", "--no-compile", "--no-deps", "--only-binary=:all:",
             "--require-hashes", "--target", str(target), "-r", str(UV_LOCK)])  # fmt: skip
    except SetupError:
        return None  # no pip, or no wheel for this machine: the plain way is slower and works
    return str(target / "bin" / "uv")


def build(python: str, folder: Path) -> None:
    """Build an environment at `folder`, aside and renamed, so that no job ever sees half of one."""
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    aside.mkdir(parents=True)
    new = aside / "env"
    inside = str(new / "bin" / "python")
    try:
        uv = find_uv(python, aside)
        if uv:
            run([uv, "venv", "-q", "--no-project", "--python", python, str(new)])
            run([uv, "pip", "install", "-q", "--python", inside, "--no-deps", "--require-hashes", "--compile-bytecode",
                 "-r", str(LOCK)], cwd=aside)  # fmt: skip
        else:
            try:
                run([python, "-I", "-m", "venv", str(new)])
            except SetupError as error:
                raise SetupError(f"{error}: install uv or python3-venv, or {ADVICE}") from None
            run([inside, "-I", "-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", str(LOCK)])
        try:
            new.rename(folder)
        except OSError:
            if not (folder / "bin" / "python").exists():
                raise
            # another job of this machine was first: its environment is as good
    finally:
        shutil.rmtree(str(aside), ignore_errors=True)


def environment() -> str:
    """The interpreter of a ready environment, built when there is none.

    Raises:
        SetupError: when it can be neither found nor built.
    """
    python, described = find_python()
    folder = store() / environment_key(*described)
    inside = folder / "bin" / "python"
    if folder.exists() and describe(str(inside)) is None:
        shutil.rmtree(str(folder), ignore_errors=True)  # its base interpreter is gone
    if not folder.exists():
        print(f"building the environment with Python {described[0]} ...", flush=True)
        build(python, folder)
    return str(inside)


def hand_over(python: str) -> None:
    """Run the rest in the environment; its stdout is the step's, its last line on stderr the reason of a failure."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environ.update(PYTHONPATH=str(ROOT), PYTHONSAFEPATH="1", PYTHONNOUSERSITE="1")
    try:
        done = subprocess.run(  # noqa: S603 - commands of this file only
            [python, "-m", "p2pcache.runner.main", "start"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, errors="replace", env=environ, timeout=HAND_OVER_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise SetupError(f"the node was not ready within {HAND_OVER_SECONDS} s") from None
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode:
        raise SetupError(lines[-1] if lines else f"it ended with status {done.returncode}")


def escape(text: str) -> str:
    """A message that stays one workflow command, whatever is in it (actions/toolkit, command.ts)."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text[:1000].replace("%", "%25")


def append(variable: str, values: dict[str, str]) -> None:
    """Append to the file that `variable` names, with delimiters nobody can guess."""
    path = os.environ.get(variable)
    if not path:
        return
    with Path(path).open("a", encoding="utf-8") as file:
        for name, value in values.items():
            mark = f"ghadelimiter_{uuid.uuid4()}"
            file.write(f"{name}<<{mark}\n{value}\n{mark}\n")


def fall_back(reason: str) -> int:
    """Lead the job past the cache; the exit status is what `strict` says."""
    api = os.environ.get("INPUT_UPSTREAM", "").strip() or os.environ.get("GITHUB_API_URL") or "https://api.github.com"
    graphql = re.sub(r"/api/v3$", "/api", api.rstrip("/")) + "/graphql"
    append("GITHUB_OUTPUT", {"api-url": api, "graphql-url": graphql, "p2p-connected": "false"})
    append("GITHUB_ENV", {"P2PCACHE_API_URL": api, "P2PCACHE_GRAPHQL_URL": graphql})
    strict = os.environ.get("INPUT_STRICT", "").strip().lower() == "true"
    kind, rest = ("error", "") if strict else ("warning", " The job goes on without the cache.")
    print(f"::{kind} title=p2pcache::{escape(reason)}.{rest}", flush=True)
    return 1 if strict else 0


def main() -> int:
    """Set up and hand over; the step's exit status."""
    try:
        hand_over(environment())
    except (SetupError, OSError) as error:
        return fall_back(str(error).rstrip("."))
    return 0


if __name__ == "__main__":
    if sys.version_info < (3, 8):  # noqa: UP036 - the runner's Python, not ours
        print("::warning title=p2pcache::Python 3.11, 3.12 or 3.13 is needed: " + re.sub("`", "'", ADVICE))
        sys.exit(0)
    sys.exit(main())
