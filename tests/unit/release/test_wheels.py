"""Whether every locked package has a wheel; tests/e2e/test_wheels.py asks a package index."""

from __future__ import annotations

from pathlib import Path

import pytest

from release import wheels

LOCK = "a==1 \\\n    --hash=sha256:aa\nvarint==1 \\\n    --hash=sha256:bb\nb==1 \\\n    --hash=sha256:cc\n"


@pytest.fixture
def uv(tmp_path: Path) -> Path:
    """A uv for which nothing is missing but on aarch64 with Python 3.14."""
    program = tmp_path / "uv"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *3.14*aarch64-many*) echo "a has no usable wheels" >&2; exit 1;; esac\n'
    )
    program.chmod(0o755)
    return program


def test_what_comes_as_a_source_is_not_asked_for() -> None:
    assert wheels.without(LOCK, {"varint"}) == LOCK.replace("varint==1 \\\n    --hash=sha256:bb\n", "")
    locks = "".join((wheels.ROOT / name).read_text("utf-8") for name in wheels.LOCKS)
    assert all(f"\n{name}==" in locks for name in wheels.PURE)


def test_what_is_missing_is_said_and_fails(uv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert wheels.main([str(uv)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert "aarch64-manylinux_2_28, Python 3.14: a has no usable wheels" in said
    assert len([line for line in said if line.endswith(": complete")]) == len(said) - 1 == 15


def test_a_uv_that_fails_without_a_word_is_a_failure(tmp_path: Path) -> None:
    program = tmp_path / "uv"
    program.write_text("#!/bin/sh\nexit 2\n")
    program.chmod(0o755)
    assert wheels.missing(str(program), tmp_path / "all.lock", "any", "3.14") == "uv ended with 2"
