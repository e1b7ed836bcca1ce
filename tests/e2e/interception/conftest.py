"""A machine with a GitHub of its own, and a job in it whose cache intercepts: one for each file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.intercepted import InterceptedJob, intercepted
from tests.support.world import World
from tests.support.world import world as machine


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A short path that other users may pass through."""
    made = Path(tempfile.mkdtemp(prefix="p2pi-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def world(folder: Path) -> Iterator[World]:
    with machine(folder) as made:
        yield made


@pytest.fixture(scope="module")
def job(world: World, folder: Path) -> Iterator[InterceptedJob]:
    """A job whose clients are answered under GitHub's own name."""
    with intercepted(world, folder / "job") as made:
        assert made.started
        assert made.started.returncode == 0, made.started.stderr
        assert made.leads(), made.started.stdout
        yield made
