"""The steps of a release run dry: `v1` in a bare repository, the release by a gh that writes down what it is asked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WORKFLOW = (ROOT / ".github/workflows/release.yml").read_text()


def git(folder: Path, *arguments: str) -> str:
    mail = (
        "-c",
        "user.name=A",
        "-c",
        "user.email=a@example.org",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "tag.gpgsign=false",
    )
    command = ["git", *mail, "-C", str(folder), *arguments]
    variables = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=variables, timeout=30).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one release, v1.2.3, of a bare repository."""
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(tmp_path, "clone", "-q", "origin.git", "checkout")
    commit(tmp_path / "checkout", "v1.2.3")
    return tmp_path / "checkout"


def commit(checkout: Path, tag: str) -> None:
    git(checkout, "commit", "-q", "--allow-empty", "-m", tag)
    git(checkout, "tag", "-a", "-m", tag, tag)


def move(checkout: Path, *arguments: str) -> str:
    command = [str(ROOT / "release/move-major"), *arguments]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout if done.returncode == 0 else f"{done.returncode}: {done.stderr}"


def major(checkout: Path) -> str:
    """The commit that v1 names at the origin; empty where there is none."""
    return git(checkout, "ls-remote", "origin", "refs/tags/v1").partition("\t")[0]


def test_the_major_tag_follows_the_newest_release(checkout: Path) -> None:
    assert move(checkout, "v1.2.3").startswith("v1 -> v1.2.3 (")
    assert major(checkout) == git(checkout, "rev-parse", "v1.2.3^{commit}")
    commit(checkout, "v1.10.0")
    assert move(checkout, "v1.10.0").startswith("v1 -> v1.10.0 (")
    assert major(checkout) == git(checkout, "rev-parse", "v1.10.0^{commit}")


def test_a_dry_run_moves_nothing(checkout: Path) -> None:
    assert move(checkout, "--dry-run", "v1.2.3").startswith("v1 -> v1.2.3 (")
    assert major(checkout) == ""


def test_candidates_and_older_releases_leave_the_major_tag(checkout: Path) -> None:
    move(checkout, "v1.2.3")
    before = major(checkout)
    commit(checkout, "v1.3.0-rc.1")
    assert move(checkout, "v1.3.0-rc.1") == "v1.3.0-rc.1 is a candidate: nothing moves\n"
    commit(checkout, "v1.2.2")
    assert move(checkout, "v1.2.2") == "v1.2.3 is newer than v1.2.2: v1 stays\n"
    commit(checkout, "v2.0.0")
    assert major(checkout) == before


@pytest.mark.parametrize("tag", ["v1", "1.2.3", "main", "v1.2.3 --force", ""])
def test_what_is_no_release_tag_moves_nothing(checkout: Path, tag: str) -> None:
    assert move(checkout, tag).startswith("1: ")
    assert major(checkout) == ""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The tree as it is on the day of its release, and a gh that writes down its arguments."""
    for name in ("release", "p2pcache"):
        (tmp_path / "tree" / name).mkdir(parents=True)
    for name in ("release/github", "release/image", "release/changelog.py", "p2pcache/__init__.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / "tree" / name)
    changes = re.sub(r"(?m)^(## \[[^]]+\]) - .*$", r"\1 - 2026-11-23", (ROOT / "CHANGELOG.md").read_text())
    (tmp_path / "tree/CHANGELOG.md").write_text(changes)
    (tmp_path / "bin").mkdir()
    for name in ("gh", "docker"):
        program = tmp_path / "bin" / name
        program.write_text(
            f'#!/bin/sh\necho "$(basename $0) $*" >>{tmp_path}/calls\n[ "$2" != view ] || exit ${{THERE:-1}}\n'
        )
        program.chmod(0o755)
    return tmp_path / "tree"


def run(tree: Path, script: str, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """The status, what was said, and what the programs were asked."""
    calls = tree.parent / "calls"
    calls.write_text("")
    environ = {"PATH": f"{tree.parent}/bin:{os.environ['PATH']}", "TMPDIR": str(tree.parent), **variables}
    done = subprocess.run(
        [tree / "release" / script, *arguments], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    asked = re.sub(rf"{re.escape(str(tree.parent))}/\S+", "NOTES", calls.read_text())
    return done.returncode, done.stdout + done.stderr, asked


TAG = "v" + tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_a_release_has_the_changelogs_text_and_the_files(tree: Path) -> None:
    status, said, asked = run(tree, "github", TAG, "a.whl", "b.pyz")
    assert (status, said) == (0, "")
    create = f"gh release create {TAG} --verify-tag --title {TAG} --notes-file NOTES a.whl b.pyz\n"
    assert asked == f"gh release view {TAG}\n{create}"
    status, said, asked = run(tree, "github", "--dry-run", TAG, "a.whl")
    assert (status, asked) == (0, "")
    assert "gh release create" in said
    assert "### Added" in said


def test_a_release_that_is_there_gets_its_files_again(tree: Path) -> None:
    status, _, asked = run(tree, "github", TAG, "a.whl", THERE="0")
    assert status == 0
    assert asked.splitlines()[-1] == f"gh release upload --clobber {TAG} a.whl"


def test_nothing_is_released_by_another_tag_or_without_files(tree: Path) -> None:
    for arguments in (("v9.9.9", "a.whl"), (TAG,), ()):
        status, _, asked = run(tree, "github", *arguments)
        assert status
        assert asked == ""


def test_the_image_is_pushed_by_its_version_and_its_major(tree: Path) -> None:
    registry = {"REGISTRY_USER": "me", "REGISTRY_TOKEN": "hush"}
    status, said, asked = run(tree, "image", "registry.example/o/p2pcache", "v1.2.3", **registry)
    assert status == 0, said
    assert asked.splitlines()[0].startswith(
        "docker build -q --target hub --label org.opencontainers.image.version=1.2.3"
    )
    assert asked.splitlines()[1:] == [
        "docker login -u me --password-stdin registry.example",
        "docker push -q registry.example/o/p2pcache:1.2.3",
        "docker push -q registry.example/o/p2pcache:1",
    ]
    assert "hush" not in said + asked
    _, said, asked = run(tree, "image", "--dry-run", "registry.example/o/p2pcache", "v1.2.3-rc.1", **registry)
    assert [line.split()[1] for line in asked.splitlines()] == ["build"]
    assert said.splitlines()[-1] == "docker push -q registry.example/o/p2pcache:1.2.3-rc.1"
    assert run(tree, "image", "registry.example/o/p2pcache", "main")[0] == 1


def test_the_workflow_runs_these_scripts_and_no_other_commands() -> None:
    named = set(re.findall(r"release/([\w.-]+)", WORKFLOW))
    assert named == {"changelog.py", "distributions", "github", "image", "move-major"}
    for name in named:
        assert (ROOT / "release" / name).exists()
