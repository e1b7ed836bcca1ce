"""The installer: what is kept, replaced and refused. tests/e2e/test_installer.py builds and runs a real one."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from action import environment
from action.installers import InstallError
from release import install

Install = Callable[..., int]


@pytest.fixture
def checkout(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of a program that needs no packages and prints its version, which is 1."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "p2pcache").mkdir()
    (folder / "p2pcache/__main__.py").write_text("print('p2pcache, version 1')\n")
    for path in (install.ROOT / "pyproject.toml", *install.ROOT.glob("requirements*.lock")):
        (folder / path.name).symlink_to(path)
    monkeypatch.setattr(install, "ROOT", folder)
    return folder


@pytest.fixture
def built(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Path]]:
    """Build environments without packages; the locks of each."""
    made: list[Sequence[Path]] = []

    def build(folder: Path, environ: Mapping[str, str], locks: Sequence[Path]) -> None:
        made.append(locks)
        venv.create(folder, symlinks=True)

    monkeypatch.setattr(environment, "build", build)
    return made


@pytest.fixture
def run(tmp_path: Path, built: object, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Run the installer below a folder of the test's, without the doctor; its exit status."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def run(*given: str) -> int:
        return install.main(["--prefix", str(tmp_path / "p"), "--bin", str(tmp_path / "bin"), "--no-doctor", *given])

    return run


@pytest.fixture
def upgrade(checkout: Path) -> Callable[[int], None]:
    """Have the checkout be of another version."""

    def upgrade(number: int) -> None:
        (checkout / "p2pcache/__main__.py").write_text(f"print('p2pcache, version {number}')\n")

    return upgrade


def version(command: Path) -> str:
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True, timeout=30, cwd="/")
    return said.stdout.strip()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def releases(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "p/releases").iterdir()}


def test_a_second_run_changes_nothing(
    run: Install, built: list[Sequence[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    assert version(tmp_path / "bin/p2pcache") == "p2pcache, version 1"
    before = {path: path.lstat().st_mtime_ns for path in (tmp_path / "p").rglob("*")}
    capsys.readouterr()
    assert run() == 0
    assert "is installed already" in capsys.readouterr().out
    assert len(built) == 1
    after = {path: path.lstat().st_mtime_ns for path in (tmp_path / "p").rglob("*") if path.name != "__pycache__"}
    assert {path for path in before.keys() & after.keys() if before[path] != after[path]} <= {tmp_path / "p/.lock"}


def test_a_folder_may_have_any_name(built: object, tmp_path: Path) -> None:
    folder = tmp_path / "it's a $HOME"
    assert install.main(["--prefix", str(folder / "p"), "--bin", str(folder / "bin"), "--no-doctor"]) == 0
    assert version(folder / "bin/p2pcache") == "p2pcache, version 1"


def test_what_is_installed_is_there_for_every_user_whatever_the_umask(run: Install, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert run() == 0
    finally:
        os.umask(before)
    paths = [path for path in (tmp_path / "p").rglob("*") if not path.is_symlink()]
    assert [path for path in paths if not path.stat().st_mode & 0o004] == []


@pytest.mark.parametrize("fails", ["the build", "the first start"])
def test_an_upgrade_that_fails_leaves_the_former_one_in_use(
    fails: str,
    run: Install,
    tmp_path: Path,
    upgrade: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run() == 0
    upgrade(2)
    if fails == "the build":

        def build(*_: object) -> None:
            raise InstallError("the package index cannot be reached")

        monkeypatch.setattr(environment, "build", build)
    else:
        monkeypatch.setattr(install, "LAUNCHER", "#!/bin/sh\necho no libffi >&2; exit 1 # {python}\n")
    assert run() == 1
    said = capsys.readouterr().err
    assert ("index cannot be reached" if fails == "the build" else "does not run: no libffi") in said
    assert said.endswith(". The former installation stays in use.\n")
    assert version(tmp_path / "bin/p2pcache") == "p2pcache, version 1"


def test_an_upgrade_keeps_the_release_that_may_still_run_and_no_more(
    run: Install, tmp_path: Path, upgrade: Callable[[int], None]
) -> None:
    seen = []
    for number in (1, 2, 3):
        upgrade(number)
        assert run() == 0
        assert version(tmp_path / "bin/p2pcache") == f"p2pcache, version {number}"
        seen.append((tmp_path / "p/current").readlink().name)
    assert releases(tmp_path) == set(seen[1:])


def test_what_a_killed_run_left_is_removed_and_built_again(
    run: Install, tmp_path: Path, built: list[Sequence[Path]]
) -> None:
    assert run() == 0
    release = (tmp_path / "p/current").resolve()
    (release / install.RECORD).unlink()
    release.with_name(f".{release.name}.123").mkdir()
    assert run() == 0
    assert releases(tmp_path) == {release.name}
    assert version(tmp_path / "bin/p2pcache")
    assert len(built) == 2


def test_extras_are_installed_on_top_and_kept_by_later_runs(
    run: Install, built: list[Sequence[Path]], upgrade: Callable[[int], None]
) -> None:
    wanted = [("mcp, s3", ["", "-mcp", "-s3"]), ("", ["", "-mcp", "-s3"]), ("none", [""])]
    for number, (extras, locks) in enumerate(wanted):
        upgrade(number)
        assert run(*(["--extras", extras] if extras else [])) == 0
        assert [lock.name for lock in built[-1]] == [f"requirements{lock}.lock" for lock in locks]


def test_an_extra_that_is_none_is_named_with_those_that_are(run: Install, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--extras", "s4") == 1
    assert "read 's4', and there are mcp, s3, or none" in capsys.readouterr().err


def test_a_command_of_someone_else_is_not_replaced(
    run: Install, tmp_path: Path, built: list[Sequence[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/p2pcache").write_text("somebody's")
    assert run() == 1
    assert "is there already and not of" in capsys.readouterr().err
    assert (tmp_path / "bin/p2pcache").read_text() == "somebody's"
    assert built == []


def test_a_folder_of_someone_else_is_not_taken(
    run: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/letters").write_text("somebody's")
    assert run() == 1
    assert "files that are not p2pcache's: give another --prefix" in capsys.readouterr().err
    assert names(tmp_path / "p") == ["letters"]


@pytest.mark.parametrize("given", [(), ("--uninstall",)])
def test_nor_is_one_that_another_program_keeps_its_releases_in(
    run: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: tuple[str, ...]
) -> None:
    (tmp_path / "p/releases/2024/app").mkdir(parents=True)
    (tmp_path / "p/current").symlink_to("releases/2024")
    (tmp_path / "p/command").write_text("somebody's")
    assert run(*given) == 1
    assert "files that are not p2pcache's" in capsys.readouterr().err
    assert names(tmp_path / "p") == ["command", "current", "releases"]
    assert (tmp_path / "p/current/app").is_dir()


def test_what_is_not_a_release_is_left_where_releases_are(run: Install, tmp_path: Path) -> None:
    assert run() == 0
    (tmp_path / "p/releases/2024").mkdir()
    assert run("--extras", "s3") == 0
    assert run("--uninstall") == 0
    assert releases(tmp_path) == {"2024"}


def test_one_installation_at_a_time(run: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    with (tmp_path / "p/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run("--extras", "s3") == 1
    assert "another install.sh is at work" in capsys.readouterr().err


def test_a_full_disk_is_said_before_anything_is_built(
    run: Install, built: list[Sequence[Path]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "NEEDED_BYTES", 1 << 60)
    assert run() == 1
    assert "is full" in capsys.readouterr().err
    assert built == []


def test_uninstalled_nothing_of_it_is_left_and_nothing_else_is_gone(
    run: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    (tmp_path / "bin/another").touch()
    elsewhere = ["--prefix", str(tmp_path / "p"), "--bin", str(tmp_path), "--uninstall"]
    assert install.main(elsewhere) == 0, "by the folder alone: it knows where the command is"
    assert names(tmp_path) == ["bin"]
    assert names(tmp_path / "bin") == ["another"]
    capsys.readouterr()
    assert install.main(elsewhere) == 0
    assert "nothing to do" in capsys.readouterr().out


DOCTOR = """#!/bin/sh
# {{python}}
case "$*" in
  --version) echo p2pcache, version 1 ;;
  *--help) exit {helped} ;;
  *) echo 1 of 12 failed; exit 1 ;;
esac
"""


@pytest.mark.parametrize("there", [True, False])
def test_the_doctor_comes_last_where_there_is_one_and_undoes_nothing(
    there: bool, built: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "LAUNCHER", DOCTOR.format(helped=0 if there else 2))
    assert install.main(["--prefix", str(tmp_path / "p"), "--bin", str(tmp_path / "bin")]) == 0
    said = capfd.readouterr().out
    assert ("1 of 12 failed" in said) == there
    assert ("p2pcache is installed; its doctor found" in said) == there
    assert "it is not on the path yet: export PATH=" in said
    assert (tmp_path / "bin/p2pcache").exists()


def test_without_pip_venv_and_uv_it_says_what_to_install(
    run: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert run() == 1
    assert f"{sys.executable} has neither pip nor venv: install python3-venv" in capsys.readouterr().err
