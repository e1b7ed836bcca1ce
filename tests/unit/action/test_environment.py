"""Where the environment is looked for and made. Building one is in tests/integration/action."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path

import pytest

from action import environment, installers
from action.environment import SetupError
from action.installers import InstallError


def key(*extra: Path) -> str:
    return environment.environment_key((environment.LOCK, *extra))


def interpreter(place: Path, *extra: Path) -> Path:
    python = place / "p2pcache" / key(*extra) / "bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    return python


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is built instead of an environment, each recorded."""
    built: list[Path] = []

    def build(folder: Path, environ: dict[str, str], locks: Sequence[Path]) -> None:
        built.append(folder)
        (folder / "bin").mkdir(parents=True)

    monkeypatch.setattr(environment, "build", build)
    return built


def test_one_in_a_tool_cache_that_cannot_be_written_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: list[Path]
) -> None:
    """As an image has it that was made with one."""
    python = interpreter(tmp_path / "tools")
    monkeypatch.setattr(os, "access", lambda *_: False)
    environ = {"RUNNER_TOOL_CACHE": str(tmp_path / "tools"), "RUNNER_TEMP": str(tmp_path / "temp")}
    assert environment.environment(environ) == python
    assert builds == []


def test_one_whose_interpreter_is_gone_is_built_again(tmp_path: Path, builds: list[Path]) -> None:
    python = interpreter(tmp_path)
    python.unlink()
    assert environment.environment({"RUNNER_TOOL_CACHE": str(tmp_path)}) == python
    assert builds == [python.parents[1]]


def test_why_one_cannot_be_built_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(folder: Path, environ: dict[str, str], locks: Sequence[Path]) -> None:
        raise InstallError("no luck")

    monkeypatch.setattr(environment, "build", build)
    with pytest.raises(SetupError, match=r"^the environment cannot be built: no luck$"):
        environment.environment({"RUNNER_TEMP": str(tmp_path)})


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(new: Path, aside: Path, environ: dict[str, str], locks: Sequence[Path]) -> None:
        (aside / "half").touch()
        raise InstallError("no luck")

    monkeypatch.setattr(environment, "_fill", fill)
    with pytest.raises(InstallError):
        environment.build(tmp_path / "env", {}, [])
    assert list(tmp_path.iterdir()) == []


def test_the_job_that_comes_second_uses_the_firsts_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "env"

    def fill(new: Path, aside: Path, environ: dict[str, str], locks: Sequence[Path]) -> None:
        new.mkdir()
        (folder / "bin").mkdir(parents=True)
        (folder / "bin/python").touch()

    monkeypatch.setattr(environment, "_fill", fill)
    environment.build(folder, {}, [])
    assert [path.name for path in tmp_path.iterdir()] == ["env"]


Usage = namedtuple("Usage", "free")


def test_a_tool_cache_that_cannot_be_written_or_is_full_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temp = tmp_path / "temp"
    assert environment.roomy([Path("/proc/nowhere"), temp]) == temp
    full = tmp_path / "full"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0 if path == full else environment.NEEDED_BYTES))
    assert environment.roomy([full, temp]) == temp
    with pytest.raises(SetupError, match=r"full is full: 0 MB are free and 300 needed.*set one of them"):
        environment.roomy([full])
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SetupError, match=f"{temp} cannot be written"):
        environment.roomy([temp])
    with pytest.raises(SetupError, match="neither is set"):
        environment.roomy([])


def test_the_key_names_lock_and_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {key(), key()}
    assert len(keys) == 1
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.99")
    keys.add(key())
    monkeypatch.setattr(sys, "base_prefix", "/opt")
    keys.add(key())
    (tmp_path / "lock").write_text("x==1")
    monkeypatch.setattr(environment, "LOCK", tmp_path / "lock")
    keys.add(key())
    assert len(keys) == 4


S3 = environment.ROOT / "requirements-s3.lock"


@pytest.mark.parametrize(
    ("variables", "extra"),
    [
        ({}, ()),
        ({"INPUT_BACKENDS": "disk,p2p"}, ()),
        ({"INPUT_BACKENDS": "Disk, S3"}, (S3,)),
        ({"CACHE_BACKENDS": "p2p s3"}, (S3,)),
        ({"CACHE_BACKEND": "s3"}, (S3,)),
        ({"INPUT_BACKENDS": "disk", "CACHE_BACKENDS": "s3"}, ()),
        ({"INPUT_BACKENDS": " ", "CACHE_BACKENDS": "s3"}, (S3,)),
        ({"INPUT_BACKENDS": "tape"}, ()),
    ],
)
def test_what_a_named_backend_needs_is_installed_too(variables: dict[str, str], extra: tuple[Path, ...]) -> None:
    assert environment.extra_locks(variables) == extra


@pytest.mark.parametrize(("extra", "package"), [("s3", "obstore"), ("mcp", "mcp")])
def test_each_extra_has_a_lock_of_what_the_first_lacks(extra: str, package: str) -> None:
    locks = (environment.LOCK, environment.ROOT / f"requirements-{extra}.lock")
    pinned = [set(re.findall(r"^([a-z0-9-]+)==", lock.read_text(), re.MULTILINE)) for lock in locks]
    assert package in pinned[1] - pinned[0]
    assert not pinned[0] & pinned[1]


def test_an_environment_with_an_extra_is_another_one(tmp_path: Path, builds: list[Path]) -> None:
    environ = {"RUNNER_TOOL_CACHE": str(tmp_path), "INPUT_BACKENDS": "disk,s3"}
    interpreter(tmp_path)
    environment.environment(environ)
    assert builds == [tmp_path / "p2pcache" / key(S3)]
    assert environment.environment({**environ, "INPUT_BACKENDS": "disk"}) != builds[0] / "bin/python"


def test_without_its_packages_a_backend_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build(folder: Path, environ: dict[str, str], locks: Sequence[Path]) -> None:
        if S3 in locks:
            raise InstallError("no luck")

    monkeypatch.setattr(environment, "build", build)
    environ = {"RUNNER_TOOL_CACHE": str(tmp_path), "INPUT_BACKENDS": "disk,s3"}
    assert environment.environment(environ) == tmp_path / "p2pcache" / key() / "bin/python"
    assert "a backend's packages are missing: the environment cannot be built: no luck; the cache goes on" in (
        capsys.readouterr().out
    )


def test_what_does_not_run_is_no_interpreter(tmp_path: Path) -> None:
    assert not environment.works(tmp_path / "python")
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    assert not environment.works(tmp_path / "python")


def test_a_python_without_pip_and_venv_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InstallError, match="install python3-venv or uv, or add `uses: actions/setup-python`"):
        environment.build(tmp_path / "env", {"PATH": "/nonexistent"}, [])


def test_the_package_that_is_tried_first_is_in_the_lock() -> None:
    lines = installers.probe_lines(environment.LOCK.read_text())
    assert lines.startswith(f"{installers.PROBE}==")
    assert lines.count("==") == 1
    assert "--hash=sha256:" in lines
