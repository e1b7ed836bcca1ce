from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pcache.cache import database, recovery
from p2pcache.cache.disk import Disk
from p2pcache.cache.recovery import ASIDE, FILE, SafeDatabase
from p2pcache.testing.conformance import KEYRING, make
from tests.unit.cache.lab import fill

MIB = 1024 * 1024


class TestTrouble:
    @pytest.mark.parametrize(
        "content", [b"x" * 10_000, b"SQLite format 3\x00" + b"\xff" * 9000], ids=["text", "header"]
    )
    async def test_a_file_that_is_no_database_is_moved_aside(
        self, tmp_path: Path, content: bytes, warnings: Callable[[], list[str]]
    ) -> None:
        (tmp_path / FILE).write_bytes(content)
        store, kept = Disk(tmp_path, KEYRING, 8 * MIB), make()
        await store.store(kept.pointer, kept.sealed)
        assert await store.find(kept.pointer.name) == [kept.pointer]
        await store.close()
        assert (tmp_path / ASIDE).read_bytes() == content
        assert len(warnings()) == 1
        assert "damaged" in warnings()[0]

    async def test_damage_found_later_is_moved_aside_too(
        self, tmp_path: Path, warnings: Callable[[], list[str]]
    ) -> None:
        store, kept = Disk(tmp_path, KEYRING, 8 * MIB), make()
        await fill(store, 30, 20_000)
        await store.close()
        file = tmp_path / FILE
        content = bytearray(file.read_bytes())
        content[2 * 4096 :] = b"\xa5" * (len(content) - 2 * 4096)
        file.write_bytes(content)
        store = Disk(tmp_path, KEYRING, 8 * MIB)
        for _ in range(3):
            await store.store(kept.pointer, kept.sealed)
        assert await store.find(kept.pointer.name) == [kept.pointer]
        await store.close()
        assert (tmp_path / ASIDE).exists()
        assert len(warnings()) == 1

    async def test_a_damaged_block_is_forgotten_with_its_pointers(self, tmp_path: Path) -> None:
        store, kept, good = Disk(tmp_path, KEYRING, 8 * MIB), make(body=b"one"), make("/other", body=b"two")
        await store.store(kept.pointer, kept.sealed)
        await store.store(good.pointer, good.sealed)
        with sqlite3.connect(tmp_path / FILE) as other:
            other.execute("UPDATE blocks SET sealed = ? WHERE cid = ?", (b"rotten", kept.pointer.cid))
        other.close()
        assert await store.block(kept.pointer) is None
        assert await store.pointers(9) == [good.pointer]
        await store.close()

    @pytest.mark.parametrize(
        ("statement", "reason"),
        [
            (f"PRAGMA user_version = {database.VERSION + 1}", "a newer p2pcache"),
            ("PRAGMA application_id = 1", "another program"),
        ],
        ids=["newer", "foreign"],
    )
    async def test_what_is_not_ours_is_left_alone(
        self, tmp_path: Path, statement: str, reason: str, warnings: Callable[[], list[str]]
    ) -> None:
        store, kept = Disk(tmp_path, KEYRING, 8 * MIB), make()
        await store.store(kept.pointer, kept.sealed)
        await store.close()
        with sqlite3.connect(tmp_path / FILE) as other:
            other.execute(statement)
        other.close()
        before = (tmp_path / FILE).read_bytes()
        store = Disk(tmp_path, KEYRING, 8 * MIB)
        await store.store(kept.pointer, kept.sealed)
        await store.drop(kept.pointer.topics)
        assert await store.find(kept.pointer.name) == []
        await store.close()
        assert (tmp_path / FILE).read_bytes() == before
        assert len(warnings()) == 1
        assert reason in warnings()[0]

    async def test_a_directory_that_cannot_be_made_is_gone_without(
        self, tmp_path: Path, warnings: Callable[[], list[str]]
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        store, kept = Disk(tmp_path / "file" / "store", KEYRING, 8 * MIB), make()
        await store.store(kept.pointer, kept.sealed)
        await store.drop(kept.pointer.topics)
        assert await store.block(kept.pointer) is None
        await store.close()
        assert len(warnings()) == 1
        assert "is not used" in warnings()[0]
        assert "is not used" in store.trouble
        assert await store.usage() == (0, 0)

    async def test_a_full_disk_finds_nothing_it_should_have_forgotten(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
    ) -> None:
        store, kept, other = Disk(tmp_path, KEYRING, 8 * MIB), make(), make("/other", topics=["other"])
        await store.store(kept.pointer, kept.sealed)
        await store.store(other.pointer, other.sealed)
        assert (store.errors, store.trouble) == (0, "")
        full = FullDisk(monkeypatch)
        await store.store(other.pointer, other.sealed)
        assert await store.find(kept.pointer.name) == [kept.pointer]
        assert store.errors == 1
        assert store.trouble == "the disk store keeps nothing new for now: database or disk is full"
        await store.drop(kept.pointer.topics)
        assert await store.find(kept.pointer.name) == []
        assert [word in said for word, said in zip(("nothing new", "emptied"), warnings(), strict=True)] == [True, True]
        full.relieve()
        await store.store(other.pointer, other.sealed)
        assert await store.pointers(9) == [other.pointer]
        assert store.errors > 1
        assert store.trouble == ""
        await store.close()


class FullDisk:
    """Writes fail as they do when the write-ahead log cannot grow, which stops deletions as well."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patches = monkeypatch

        def full(*_: object) -> None:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

        monkeypatch.setattr(database.Database, "drop", full)
        monkeypatch.setattr(database.Database, "store", full)

    def relieve(self) -> None:
        self._patches.undo()


class TestSafeDatabase:
    """Rows of trouble that a whole `Disk` reaches only by chance."""

    def _safe(self, directory: Path) -> SafeDatabase:
        return SafeDatabase(directory, 8 * MIB, lambda: 1000.0)

    def _raise(self, code: int) -> Callable[[object], None]:
        def work(_: object) -> None:
            error = sqlite3.DatabaseError("made up")
            error.sqlite_errorcode = code
            raise error

        return work

    def test_a_busy_database_is_a_miss_without_a_word(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
    ) -> None:
        monkeypatch.setattr(database, "_BUSY_SECONDS", 0.01)
        safe, kept = self._safe(tmp_path), make()
        safe.run(database.Database.flush, None)
        other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert safe.run(lambda db: db.store(kept.pointer, b"note", kept.sealed), False) is False
        other.execute("ROLLBACK")
        other.close()
        assert safe.run(lambda db: db.store(kept.pointer, b"note", kept.sealed), False) is True
        safe.close()
        assert warnings() == []

    def test_a_database_busy_while_it_is_opened_is_a_miss_without_a_word(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
    ) -> None:
        monkeypatch.setattr(database, "_BUSY_SECONDS", 0.01)
        database.Database(tmp_path / FILE, 8 * MIB).close()
        safe = self._safe(tmp_path)
        other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert safe.run(lambda _: True, False) is False
        other.close()
        assert safe.run(lambda _: True, False) is True
        safe.close()
        assert warnings() == []

    def test_a_directory_locked_by_another_is_a_miss_without_a_word(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
    ) -> None:
        monkeypatch.setattr(recovery, "_LOCK_SECONDS", 0.02)
        holder, waiter = self._safe(tmp_path), self._safe(tmp_path)
        with holder._locked():
            assert waiter.run(lambda _: True, False) is False
        assert waiter.run(lambda _: True, False) is True
        waiter.close()
        assert warnings() == []

    def test_what_breaks_again_and_again_is_given_up(self, tmp_path: Path, warnings: Callable[[], list[str]]) -> None:
        safe = self._safe(tmp_path)
        for _ in range(6):
            safe.run(self._raise(sqlite3.SQLITE_CORRUPT), None)
        assert safe.run(lambda _: True, False) is False
        assert "again and again" in warnings()[-1]

    @pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "gone"])
    def test_a_file_another_process_moved_is_not_moved_again(self, tmp_path: Path, replaced: bool) -> None:
        safe = self._safe(tmp_path)
        safe.run(database.Database.flush, None)
        for part in ("", "-wal", "-shm"):
            (tmp_path / f"{FILE}{part}").rename(tmp_path / f"old{part}")
        if replaced:
            database.Database(tmp_path / FILE, 8 * MIB).close()
        safe.run(self._raise(sqlite3.SQLITE_CORRUPT), None)
        assert not (tmp_path / ASIDE).exists()
        assert safe.run(lambda _: True, False) is True
        safe.close()

    def test_too_much_owed_is_given_up(self, tmp_path: Path, warnings: Callable[[], list[str]]) -> None:
        safe = self._safe(tmp_path)
        for _ in range(1001):
            safe.ensure(self._raise(sqlite3.SQLITE_IOERR))
        assert safe.run(lambda _: True, False) is False
        assert "does not let go" in warnings()[-1]
        safe.close()

    def test_what_is_owed_is_paid_on_closing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        safe, paid = self._safe(tmp_path), []
        monkeypatch.setattr(recovery, "_LOCK_SECONDS", 0.0)
        with self._safe(tmp_path)._locked():
            safe.ensure(lambda _: paid.append(True))
        assert paid == []
        safe.close()
        assert paid == [True]
