"""Install p2pcache from this checkout below a prefix; `install.sh` finds the Python for it. Standard library alone.

``PREFIX/releases/KEY`` is a whole environment, which never changes once it is complete; ``PREFIX/current`` is a link to
the one in use, and ``BIN/p2pcache`` a link into it. A release is built beside the others and tried before ``current``
is replaced, so that whatever fails leaves the former one in use. The former one stays until the next is installed: a
hub that runs from it may still load modules.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # an isolated interpreter does not search the checkout

from action import environment  # noqa: E402
from action.installers import InstallError  # noqa: E402

RECORD = "p2pcache-install.json"
"""In each release, written last: without it a release is not complete."""
MARK = ".p2pcache-prefix"
"""In a prefix, written first: without it what is there is somebody else's."""
_RELEASE = re.compile(r"\.?[0-9a-f]{16}.*")
Completed = subprocess.CompletedProcess[str]
LAUNCHER = '#!/bin/sh\nexec {python} -P -m p2pcache "$@"\n'
"""-P: nothing is imported from the working directory."""
TRY_SECONDS = 60.0
DOCTOR_SECONDS = 180.0


class RefusedError(Exception):
    """The installation cannot be done; the message names the reason and the remedy."""


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; `install.sh` has the help."""
    root = os.geteuid() == 0
    home = Path.home()
    parser = argparse.ArgumentParser(prog="install.sh", add_help=False, allow_abbrev=False)
    parser.add_argument(
        "--prefix", type=Path, default=Path("/opt/p2pcache") if root else home / ".local/share/p2pcache"
    )
    parser.add_argument("--bin", type=Path, default=Path("/usr/local/bin") if root else home / ".local/bin")
    parser.add_argument("--python")
    parser.add_argument("--extras")
    parser.add_argument("--uninstall", action="store_true")
    parser.add_argument("--no-doctor", action="store_true")
    parsed = parser.parse_args(given)
    parsed.prefix, parsed.bin = parsed.prefix.absolute(), parsed.bin.absolute()
    return parsed


def extra_locks(names: Sequence[str]) -> list[Path]:
    """Return the locks of these extras, each installed on top of the first lock.

    Raises:
        RefusedError: one is not an extra, or has no lock.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    locks = {extra: ROOT / f"requirements-{extra}.lock" for extra in project["optional-dependencies"]}
    known = sorted(extra for extra, lock in locks.items() if lock.exists())
    if unknown := sorted(set(names) - set(known)):
        raise RefusedError(f"--extras: read {', '.join(unknown)!r}, and there are {', '.join(known)}, or none")
    return [locks[extra] for extra in sorted(set(names))]


def sources() -> list[Path]:
    """Return the package's files."""
    found = (path for path in (ROOT / "p2pcache").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(found)


def release_name(locks: Sequence[Path]) -> str:
    """Return a name made of everything that the release consists of."""
    digest = hashlib.sha256(environment.environment_key(locks).encode() + LAUNCHER.encode())
    for path in sources():
        digest.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def record_of(release: Path) -> dict[str, Any]:
    """Return what was recorded of a release, or {} of one that is not complete."""
    try:
        return dict(json.loads((release / RECORD).read_text("utf-8")))
    except (OSError, ValueError):
        return {}


@contextlib.contextmanager
def held(prefix: Path) -> Iterator[None]:
    """Hold the prefix, made where it is not there: one installation at a time.

    Raises:
        RefusedError: it is not p2pcache's, cannot be written, or is held by another process.
    """
    try:
        if prefix.is_dir() and any(prefix.iterdir()) and not (prefix / MARK).is_file():
            raise RefusedError(f"{prefix} has files that are not p2pcache's: give another --prefix")
        if (prefix / "releases").is_symlink():
            raise RefusedError(f"{prefix / 'releases'} is a link, where install.sh makes a folder: remove it first")
        prefix.mkdir(parents=True, exist_ok=True)
        if not (prefix / MARK).exists():
            (prefix / MARK).touch()
        (prefix / "releases").mkdir(exist_ok=True)
        lock = (prefix / ".lock").open("w")
    except OSError as error:
        raise RefusedError(
            f"{prefix} cannot be written ({error.strerror}): run as root, or give a --prefix of yours"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RefusedError(f"another install.sh is at work in {prefix}: wait until it has ended") from None
        yield


def fill(release: Path, locks: Sequence[Path], extras: Sequence[str]) -> None:
    """Build a release and try it; it is complete when this returns.

    Raises:
        RefusedError: it cannot be built, or does not run.
    """
    shutil.rmtree(release, ignore_errors=True)  # of an attempt that was killed, or its Python is gone
    if not (shutil.which("uv") or importlib.util.find_spec("pip") or importlib.util.find_spec("ensurepip")):
        raise RefusedError(f"{sys.executable} has neither pip nor venv: install python3-venv (Debian, Ubuntu) or uv")
    if (free := shutil.disk_usage(release.parent).free) < environment.NEEDED_BYTES:
        needed = environment.NEEDED_BYTES >> 20
        raise RefusedError(f"the disk of {release.parent} is full: {free >> 20} MB are free and {needed} needed")
    try:
        environment.build(release, os.environ, locks)
    except InstallError as error:
        raise RefusedError(f"the environment cannot be built: {error}") from None
    [packages] = (release / "lib").glob("python3*/site-packages")
    shutil.copytree(ROOT / "p2pcache", packages / "p2pcache", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(packages / "p2pcache", quiet=2)
    python = release / "bin/python"
    launcher = release / "bin/p2pcache"
    launcher.write_text(LAUNCHER.format(python=shlex.quote(str(python))), "utf-8")
    launcher.chmod(0o755)
    record = {"version": version_of(launcher), "extras": sorted(extras), "python": sys.version.split()[0]}
    (release / RECORD).write_text(json.dumps(record), "utf-8")


def version_of(launcher: Path) -> str:
    """Return what ``p2pcache --version`` says.

    Raises:
        RefusedError: it does not run.
    """
    try:
        tried = run([launcher, "--version"])
        problem = (tried.stderr.strip().splitlines() or ["it gives no reason"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        tried, problem = None, str(error)
    if tried is None or tried.returncode:
        raise RefusedError(f"what was installed does not run: {problem}")
    return tried.stdout.split()[-1]


def run(command: list[str | Path], *, shown: bool = False, seconds: float = TRY_SECONDS) -> Completed:
    """Run what was installed, outside the checkout; its output is captured, or `shown`."""
    return subprocess.run(  # noqa: S603 - the command that this program has made
        command, stdin=subprocess.DEVNULL, capture_output=not shown, text=True, timeout=seconds, check=False, cwd="/"
    )


def link(path: Path, target: str) -> None:
    """Make `path` a link to `target`, in one step where there is one already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)


def releases_in(folder: Path) -> list[Path]:
    """Return what `install` made there."""
    return [path for path in folder.iterdir() if _RELEASE.fullmatch(path.name)]


def command_is_ours(command: Path, prefix: Path) -> bool:
    """Return whether the command is a link into the prefix."""
    return command.is_symlink() and command.readlink().is_relative_to(prefix)


def install(options: argparse.Namespace) -> None:
    """Bring the installation to what the checkout has.

    Raises:
        RefusedError: it cannot be done; what was installed before is still in use.
    """
    command, releases, current = options.bin / "p2pcache", options.prefix / "releases", options.prefix / "current"
    former = current.resolve()
    for path in releases_in(releases):  # what a run that was killed left
        if path.name.startswith("."):
            shutil.rmtree(path, ignore_errors=True)
    if options.extras is None:
        extras = list(record_of(former).get("extras", []))
    else:
        extras = [name for name in options.extras.replace(",", " ").split() if name != "none"]
    locks = [environment.LOCK, *extra_locks(extras)]
    release = releases / release_name(locks)
    target = str(current / "bin/p2pcache")
    complete = bool(record_of(release)) and environment.works(release / "bin/python")
    if complete and former == release and command.is_symlink() and str(command.readlink()) == target:
        print(f"p2pcache {record_of(release)['version']} is installed already ({command}): nothing to do")
        return
    if (command.exists() or command.is_symlink()) and not command_is_ours(command, options.prefix):
        raise RefusedError(f"{command} is there already and not of {options.prefix}: remove it, or give another --bin")
    if not complete:
        print(f"installing p2pcache to {options.prefix} with {sys.executable} ...", flush=True)
        fill(release, locks, extras)
    try:
        link(command, target)
    except OSError as error:
        raise RefusedError(f"{command} cannot be made ({error.strerror}): give a --bin of yours") from None
    link(current, f"releases/{release.name}")
    (options.prefix / "command").write_text(f"{command}\n", "utf-8")
    for path in set(releases_in(releases)) - {release, former}:
        shutil.rmtree(path, ignore_errors=True)
    record = record_of(release)
    extra = f", with {' and '.join(record['extras'])}" if record["extras"] else ""
    print(f"p2pcache {record['version']} is installed: {command}, on Python {record['python']}{extra}", flush=True)
    on_path(command)
    if not options.no_doctor:
        examine(command)


def on_path(command: Path) -> None:
    """Say how the command is found, where a shell would not find it."""
    found = shutil.which("p2pcache")
    if found is None:
        print(f'it is not on the path yet: export PATH="{command.parent}:$PATH"')
    elif Path(found) != command:
        print(f"note: {found} comes before it on the path")


def examine(command: Path) -> None:
    """Run the doctor, where this version has one; what it finds does not undo the installation."""
    if run([command, "doctor", "--help"]).returncode:
        return
    try:
        found = run([command, "doctor"], shown=True, seconds=DOCTOR_SECONDS).returncode
    except subprocess.TimeoutExpired:
        print("p2pcache is installed; its doctor did not end, and was stopped")
        return
    if found:
        print("p2pcache is installed; its doctor found what is said above")


def uninstall(options: argparse.Namespace) -> None:
    """Remove what `install` made; settings, secrets and stores of nodes are not in it."""
    named = options.prefix / "command"
    commands = {options.bin / "p2pcache"} | ({Path(named.read_text("utf-8").strip())} if named.exists() else set())
    for command in commands:
        if command_is_ours(command, options.prefix):
            command.unlink()
            print(f"removed {command}")
    for path in releases_in(options.prefix / "releases"):
        shutil.rmtree(path)
    for name in ("current", "command", ".lock", MARK):
        (options.prefix / name).unlink(missing_ok=True)
    for folder in (options.prefix / "releases", options.prefix):
        with contextlib.suppress(OSError):  # it has something else in it
            folder.rmdir()
    print(f"removed p2pcache from {options.prefix}")


def main(given: Sequence[str]) -> int:
    """Install or uninstall; return the exit status."""
    os.umask(0o022)  # root installs for all users, whatever its own umask
    options = arguments(given)
    try:
        if options.uninstall and not (options.prefix / "releases").is_dir():
            print(f"p2pcache is not installed in {options.prefix}: nothing to do")
            return 0
        with held(options.prefix):
            (uninstall if options.uninstall else install)(options)
    except (RefusedError, OSError) as error:
        rest = " The former installation stays in use." if os.path.lexists(options.prefix / "current") else ""
        print(f"install.sh: {str(error).rstrip('.')}.{rest}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was begun is removed
    sys.exit(main(sys.argv[1:]))
