"""Check 10, the disk: where a store would have no place."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from p2pcache.cache.recovery import FILE
from p2pcache.doctor.disk_examination import examine
from p2pcache.doctor.finding import CheckVerdict
from tests.support.patients import findings, patient

PASS, WARN, FAIL = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL


async def test_what_is_stored_and_free(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(bytes(3_000_000))
    (finding,) = await findings(examine, patient(tmp_path, CACHE_DISK_BYTES="4000000"))
    assert finding.verdict is PASS
    assert f"{tmp_path}: 3 MB stored, bound 4 MB" in finding.found


def test_a_directory_that_is_to_be_made_is_not_made(tmp_path: Path) -> None:
    (finding,) = examine(patient(tmp_path / "a/b", CACHE_DISK_BYTES="4000000"))
    assert finding.verdict is PASS
    assert list(tmp_path.iterdir()) == []


async def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (finding,) = await findings(examine, patient(tmp_path / "file/cache"))
    assert (finding.verdict, "is no directory" in finding.found) == (FAIL, True)
    assert "--dir" in finding.advice


async def test_a_directory_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    (finding,) = await findings(examine, patient(tmp_path))
    assert (finding.verdict, "(Read-only file system)" in finding.found) == (FAIL, True)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


async def test_a_disk_with_less_room_than_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 3_000_000))
    (finding,) = await findings(examine, patient(tmp_path, CACHE_DISK_BYTES="4000000"))
    assert (finding.verdict, "3 MB free: less than the bound" in finding.found) == (WARN, True)
    assert "CACHE_DISK_BYTES" in finding.advice
