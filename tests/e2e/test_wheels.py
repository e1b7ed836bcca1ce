"""The locks on other machines than this one: an index is asked what it has for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from release import wheels

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
pytestmark = pytest.mark.timeout(500)


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The uv that the Action fetches."""
    folder = tmp_path_factory.mktemp("uv")
    fetch = ["-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "--target", str(folder)]
    lock = str(ROOT / "requirements-uv.lock")
    subprocess.run([str(PYTHON), *fetch, "-r", lock], check=True, capture_output=True, timeout=300)
    return str(folder / "bin/uv")


def test_no_platform_that_is_named_needs_a_compiler(uv: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert wheels.main([uv]) == 0, capsys.readouterr().out


def test_one_that_is_not_would_be_noticed(uv: str, tmp_path: Path) -> None:
    lock = tmp_path / "all.lock"
    lock.write_text(wheels.without((ROOT / "requirements.lock").read_text(), wheels.PURE))
    assert "has no usable wheels" in wheels.missing(uv, lock, "x86_64-apple-darwin", "3.11").replace("\n", " ")
