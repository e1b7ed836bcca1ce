"""The locked environment: one that is there already, or a new one, built aside and renamed."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from action import installers
from action.installers import InstallError, run
from p2pcache import backends
from p2pcache.declarations import SETTING

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
UV_LOCK = ROOT / "requirements-uv.lock"
NEEDED_BYTES = 300 << 20
"""The most space a build occupies: the environment, uv, and archives being unpacked."""
CHECK_SECONDS = 20.0
ADVICE = "add `uses: actions/setup-python` with python-version 3.13 before it, or use p2pcache's Docker action"


class SetupError(Exception):
    """The environment is not available; the message names the reason and the remedy."""


def environment(environ: Mapping[str, str]) -> Path:
    """Return the interpreter of a ready environment, built when there is none.

    Where only what a backend needs cannot be installed, the environment is one without it: the backend says so.

    Raises:
        SetupError: none exists, and none can be built.
    """
    locks = (LOCK, *extra_locks(environ))
    try:
        return _environment(locks, environ)
    except SetupError as error:
        if locks == (LOCK,):
            raise
        print(f"a backend's packages are missing: {error}; the cache goes on without that backend", flush=True)
        return _environment((LOCK,), environ)


def _environment(locks: Sequence[Path], environ: Mapping[str, str]) -> Path:
    key = environment_key(locks)
    places = [Path(base, "p2pcache") for name in ("RUNNER_TOOL_CACHE", "RUNNER_TEMP") if (base := environ.get(name))]
    for place in places:
        python = place / key / "bin/python"
        if works(python):
            return python
    folder = roomy(places) / key
    shutil.rmtree(folder, ignore_errors=True)  # its base interpreter is gone
    print(f"building the environment with Python {platform.python_version()} ...", flush=True)
    try:
        build(folder, environ, locks)
    except InstallError as error:
        raise SetupError(f"the environment cannot be built: {error}") from None
    return folder / "bin/python"


def extra_locks(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the locks of the extras that the named backends need, each installed on top of `LOCK`."""
    setting = SETTING["backends"]
    names = (f"INPUT_{setting.input.upper()}", *setting.variables)
    chosen = next((environ[name] for name in names if environ.get(name, "").strip()), setting.default)
    wanted = set(chosen.lower().replace(",", " ").split())
    extras = {backend.extra for backend in backends.known() if backend.extra and backend.name in wanted}
    return tuple(ROOT / f"requirements-{extra}.lock" for extra in sorted(extras))


def environment_key(locks: Sequence[Path]) -> str:
    """Return a name for the environment, derived from everything it depends on."""
    version = platform.python_version()
    contents = [lock.read_bytes().hex() for lock in locks]
    parts = [*contents, version, sys.base_prefix, platform.machine(), *platform.libc_ver()]
    return f"py{version}-" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def works(python: Path) -> bool:
    """Return whether this interpreter runs."""
    try:
        command = [str(python), "-I", "-c", ""]
        return subprocess.run(command, capture_output=True, timeout=CHECK_SECONDS, check=False).returncode == 0  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False


def roomy(places: list[Path]) -> Path:
    """Return the first writable folder with enough space. On a self-hosted runner the tool cache outlives the job.

    Raises:
        SetupError: no folder qualifies.
    """
    reasons = []
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(place).free
        except OSError as error:
            reasons.append(f"{place} cannot be made ({error.strerror})")
            continue
        if not os.access(place, os.W_OK):
            reasons.append(f"{place} cannot be written")
        elif free < NEEDED_BYTES:
            reasons.append(f"the disk of {place} is full: {free >> 20} MB are free and {NEEDED_BYTES >> 20} needed")
        else:
            return place
    why = "; ".join(reasons) or "neither is set"
    raise SetupError(f"RUNNER_TOOL_CACHE and RUNNER_TEMP name no folder for the environment ({why}): set one of them")


def build(folder: Path, environ: Mapping[str, str], locks: Sequence[Path]) -> None:
    """Build an environment at `folder` atomically: no job sees a partial one.

    Raises:
        InstallError: the build failed; within ten seconds where a probe could detect it.
    """
    with _aside(folder) as aside:
        new = aside / "env"
        _fill(new, aside, environ, locks)
        try:
            new.rename(folder)
        except OSError:
            if not (folder / "bin/python").exists():
                raise
            # another job of this machine has built the same environment in the meantime


@contextlib.contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    aside.mkdir(parents=True)
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _fill(new: Path, aside: Path, environ: Mapping[str, str], locks: Sequence[Path]) -> None:
    """Make an environment from the locks at `new`: with uv, the runner's or one that pip fetches, or with pip alone."""
    variables = installers.base_variables(environ, aside)
    requirements = [argument for lock in locks for argument in ("-r", str(lock))]
    lines = aside / "probe.txt"
    lines.write_text(installers.probe_lines(LOCK.read_text("utf-8")), "utf-8")
    uv = shutil.which("uv", path=environ.get("PATH"))
    own_pip = importlib.util.find_spec("pip") is not None
    if not uv and not own_pip:
        _venv(new, variables)
    pip = [sys.executable if own_pip else str(new / "bin/python"), "-I", "-m", "pip"]
    settings = installers.pip_settings(pip, variables)
    variables = installers.with_certificates(variables, settings)
    if uv:
        variables = installers.for_uv(variables, settings)
        installers.probe_with_uv(uv, sys.executable, variables, lines, aside)
        _by_uv(uv, new, requirements, variables)
        return
    installers.probe_with_pip(pip, variables, lines, aside)
    try:
        _by_uv(_fetch_uv(pip, aside, variables), new, requirements, installers.for_uv(variables, settings))
    except InstallError:
        # No uv for this machine or from this index, or a setting that only pip knows: slower, and it works.
        shutil.rmtree(new, ignore_errors=True)
        _venv(new, variables)
        inside = [str(new / "bin/python"), "-I", "-m", "pip"]
        run([*inside, "install", "-q", "--no-deps", "--require-hashes", *requirements], variables)


def _fetch_uv(pip: list[str], aside: Path, variables: Mapping[str, str]) -> str:
    run([*pip, "install", "-q", "--no-compile", "--no-deps", "--only-binary=:all:", "--require-hashes",
         "--target", str(aside / "uv"), "-r", str(UV_LOCK)], variables)  # fmt: skip
    return str(aside / "uv/bin/uv")


def _by_uv(uv: str, new: Path, requirements: list[str], variables: Mapping[str, str]) -> None:
    run([uv, "venv", "-q", "--no-project", "--python", sys.executable, str(new)], variables)
    run([uv, "pip", "install", "-q", "--python", str(new / "bin/python"), "--no-deps", "--require-hashes",
         "--compile-bytecode", *requirements], variables)  # fmt: skip


def _venv(new: Path, variables: Mapping[str, str]) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        raise InstallError(f"this Python has neither pip nor venv: install python3-venv or uv, or {ADVICE}")
    run([sys.executable, "-I", "-m", "venv", str(new)], variables)
