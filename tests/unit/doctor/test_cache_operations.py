"""Check 5: stores that do not do what they are for, or not in time."""

import contextlib
import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from p2pcache.cache import disk
from p2pcache.cache.disk import Disk
from p2pcache.cache.memory import Memory
from p2pcache.cache.recovery import FILE
from p2pcache.cache.sealing import Keyring
from p2pcache.doctor import cache_operations
from p2pcache.doctor.cache_operations import examine, of_memory, sample
from p2pcache.doctor.finding import CheckFinding, CheckVerdict
from tests.support.patients import files, findings, patient


@pytest.fixture(autouse=True)
def _nothing_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_operations, "SLOW_SECONDS", math.inf)
    monkeypatch.setattr(disk, "_DEADLINE", 30.0)  # of a busy machine's disk


async def of_disk(directory: Path) -> CheckFinding:
    _, finding = await findings(examine, patient(directory))
    return finding


async def test_every_store_is_tried_with_times(tmp_path: Path) -> None:
    memory, store = await findings(examine, patient(tmp_path))
    assert memory.verdict is store.verdict is CheckVerdict.PASS
    for name in ("put", "get", "drop", "evict"):
        assert f"{name} " in memory.detail[0]
        assert f"{name} " in store.detail[0]
    assert "expire" in store.detail[0]
    assert files(tmp_path) == [], "there was no store, and there is none now"


async def test_the_store_that_is_there_keeps_what_it_has(tmp_path: Path) -> None:
    keyring = Keyring.ephemeral()
    kept = sample(keyring)
    store = Disk(tmp_path / "store", keyring, 1 << 30)
    try:
        await store.store(kept.entry.pointer, kept.sealed)
        finding = await of_disk(tmp_path)
        assert str(tmp_path) in finding.found
        assert "no store is yet" not in finding.found
        assert list(await store.pointers(10)) == [kept.entry.pointer]
        assert (await store.usage())[0] == 1, "what was tried is gone"
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("method", "broken", "found"),
    [
        ("put", lambda *_: False, "an entry was not kept"),
        ("get", lambda *_: None, "an entry was not found"),
        ("drop", lambda *_: 0, "a drop left an entry"),
        ("_evict", lambda *_: None, "the bound was not kept"),
    ],
)
def test_a_memory_that_does_not_work_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, method: str, broken: Any, found: str
) -> None:
    monkeypatch.setattr(Memory, method, broken)
    finding = of_memory()
    assert (finding.verdict, finding.found) == (CheckVerdict.FAIL, f"memory: {found}")
    assert finding.advice


async def lost(*_: Any, **__: Any) -> None:
    return None


async def changed(*_: Any) -> bytes:
    return b"\x02" + b"x" * 100


@pytest.mark.parametrize(
    ("method", "broken", "found"),
    [
        ("store", lost, "an entry was not found"),
        ("block", changed, "an entry came back changed"),
        ("drop", lost, "a drop left an entry"),
    ],
)
async def test_a_disk_that_does_not_work_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, broken: Any, found: str
) -> None:
    monkeypatch.setattr(Disk, method, broken)
    finding = await of_disk(tmp_path)
    assert finding.verdict is CheckVerdict.FAIL
    assert finding.found.startswith(f"disk: {found}")
    assert "CACHE_DIR" in finding.advice


async def test_a_file_of_another_program_is_a_failure_with_the_stores_own_reason(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "store" / FILE)) as other:
        other.execute("CREATE TABLE theirs (x)")
    finding = await of_disk(tmp_path)
    assert finding.verdict is CheckVerdict.FAIL
    assert "it belongs to another program" in finding.found


async def test_a_directory_that_cannot_be_written_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    finding = await of_disk(tmp_path)
    assert finding.verdict is CheckVerdict.FAIL
    assert f"{tmp_path} cannot be written: Permission denied" in finding.found
    assert "CACHE_DIR" in finding.advice


async def test_a_directory_that_is_a_file_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = await of_disk(tmp_path / "file")
    assert finding.verdict is CheckVerdict.FAIL
    assert "file cannot be written: Not a directory" in finding.found
    assert "CACHE_DIR" in finding.advice


async def test_a_slow_disk_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_operations, "SLOW_SECONDS", 0.0)
    finding = await of_disk(tmp_path)
    assert finding.verdict is CheckVerdict.WARN
    assert "took longer than" in finding.found
    assert "faster disk" in finding.advice


async def test_a_disk_that_is_too_slow_to_be_waited_for_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_operations, "TOO_SLOW_SECONDS", 0.0)
    monkeypatch.setattr(Disk, "store", lost)
    assert (await of_disk(tmp_path)).found == "disk: an entry was not found: the disk is too slow"


async def test_without_a_store_it_says_so(tmp_path: Path) -> None:
    _, finding = await findings(examine, patient(tmp_path, CACHE_BACKENDS="p2p"))
    assert finding.verdict is CheckVerdict.SKIP
