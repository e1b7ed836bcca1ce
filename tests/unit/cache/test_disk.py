from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from p2pcache.cache import database, disk, recovery
from p2pcache.cache.codec import MAX_POINTER, cid_of, open_block
from p2pcache.cache.disk import Disk
from p2pcache.cache.recovery import ASIDE, FILE, SafeDatabase
from p2pcache.cache.sealing import Keyring, generate_secret
from tests.unit.cache.conformance import KEYRING, TierConformance, make

MIB = 1024 * 1024


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Disk]:
    tier = Disk(tmp_path / "store", KEYRING, 8 * MIB)
    yield tier
    await tier.close()


class TestDiskConforms(TierConformance):
    @pytest.fixture
    async def tier(self, store: Disk) -> Disk:
        return store


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def fill(tier: Disk, count: int, size: int, prefix: str = "") -> None:
    for i in range(count):
        kept = make(f"/{prefix}{i}", body=random.Random(f"{prefix}{i}").randbytes(size))
        await tier.store(kept.pointer, kept.sealed)


class TestAtRest:
    async def test_it_survives_a_restart(self, tmp_path: Path) -> None:
        kept = make()
        first = Disk(tmp_path, KEYRING, 8 * MIB)
        await first.store(kept.pointer, kept.sealed)
        await first.close()
        second = Disk(tmp_path, KEYRING, 8 * MIB)
        assert await second.find(kept.pointer.name) == [kept.pointer]
        assert await second.sealed(kept.pointer.cid) == kept.sealed
        await second.close()

    async def test_nothing_clear_is_written(self, store: Disk, tmp_path: Path) -> None:
        kept = make("/repos/octo/secret-plans", topics=["repo:octo/secret-plans"], body=b"clear body")
        await store.store(kept.pointer, kept.sealed)
        written = b"".join(path.read_bytes() for path in (tmp_path / "store").iterdir())
        assert kept.pointer.cid in written
        for clear in (b"secret-plans", b"octo", b"clear body", b"api.github.com", b"0123", b"normal", b"content-type"):
            assert clear not in written

    async def test_only_the_owner_may_look(self, store: Disk, tmp_path: Path) -> None:
        await store.find(b"")
        assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in (tmp_path / "store").iterdir()} == {0o600}

    async def test_another_secret_finds_nothing_and_harms_nothing(self, store: Disk, tmp_path: Path) -> None:
        kept = make()
        await store.store(kept.pointer, kept.sealed)
        stranger = Disk(tmp_path / "store", Keyring.from_secrets([generate_secret()]), 8 * MIB)
        assert await stranger.find(kept.pointer.name) == []
        assert await stranger.pointers(10) == []
        await stranger.close()
        assert await store.find(kept.pointer.name) == [kept.pointer]

    async def test_the_newest_pointers_come_first(self, store: Disk) -> None:
        entries = [make(f"/{i}") for i in range(4)]
        for kept in [*entries, entries[0]]:
            await store.store(kept.pointer, kept.sealed)
        expected = [entries[i].pointer for i in (0, 3, 2)]
        assert await store.pointers(3) == expected

    async def test_clear_forgets_all_and_gives_the_space_back(self, store: Disk, tmp_path: Path) -> None:
        await fill(store, 40, 50_000)
        await store.clear()
        assert await store.pointers(100) == []
        await store.close()
        assert (tmp_path / "store" / FILE).stat().st_size < 200_000

    async def test_bytes_that_are_not_the_block_are_not_kept(self, store: Disk) -> None:
        kept = make()
        await store.store(kept.pointer, b"forged")
        assert await store.find(kept.pointer.name) == []
        await store.store(kept.pointer, kept.sealed)
        assert await store.block(kept.pointer) == kept.sealed

    async def test_a_pointer_out_of_bounds_is_not_kept(self, store: Disk) -> None:
        kept = make(link="x" * MAX_POINTER)
        await store.store(kept.pointer, kept.sealed)
        assert await store.find(kept.pointer.name) == []


class TestBound:
    async def test_the_file_stays_within_it(self, tmp_path: Path) -> None:
        store = Disk(tmp_path, KEYRING, 2 * MIB)
        await fill(store, 150, 40_000)
        assert 25 < len(await store.pointers(1000)) < 55
        await store.close()
        assert (tmp_path / FILE).stat().st_size <= 2 * MIB

    async def test_what_was_used_lately_stays(self, tmp_path: Path) -> None:
        now = [1000.0]
        store = Disk(tmp_path, KEYRING, 2 * MIB, clock=lambda: now[0])
        precious = make("/precious")
        await store.store(precious.pointer, precious.sealed)
        for i in range(8):
            now[0] += 10
            await fill(store, 10, 40_000, prefix=f"{i}-")
            assert await store.block(precious.pointer) == precious.sealed
        assert await store.find(make("/0-0").pointer.name) == []
        await store.close()

    async def test_uses_are_written_without_a_store(self, tmp_path: Path) -> None:
        now = [1000.0]
        db = database.Database(tmp_path / FILE, 64 * MIB, lambda: now[0])
        entries = [make(f"/{i}", body=b"%d" % i) for i in range(256)]
        for kept in entries:
            db.store(kept.pointer, b"note", kept.sealed)
        now[0] = 2000.0
        for kept in entries:
            db.block(kept.pointer.cid)
        with sqlite3.connect(tmp_path / FILE) as other:
            assert other.execute("SELECT min(used) FROM pointers").fetchone() == (2000,)
        other.close()
        db.close()

    async def test_a_block_too_large_for_it_is_not_kept(self, tmp_path: Path) -> None:
        store = Disk(tmp_path, KEYRING, 2 * MIB)
        kept = make(body=random.Random(1).randbytes(2 * MIB // 16))
        await store.store(kept.pointer, kept.sealed)
        assert await store.find(kept.pointer.name) == []
        await store.close()

    async def test_a_smaller_bound_than_before_shrinks_the_file(self, tmp_path: Path) -> None:
        large = Disk(tmp_path, KEYRING, 8 * MIB)
        await fill(large, 60, 50_000)
        await large.close()
        small = Disk(tmp_path, KEYRING, MIB)
        assert 0 < len(await small.pointers(100)) < 20
        await small.close()
        assert (tmp_path / FILE).stat().st_size <= MIB

    async def test_a_bound_too_small_for_anything_keeps_nothing(self, tmp_path: Path) -> None:
        store = Disk(tmp_path, KEYRING, 1)
        kept = make()
        await store.store(kept.pointer, kept.sealed)
        assert await store.pointers(1) == []
        await store.close()


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

    async def test_a_full_disk_finds_nothing_it_should_have_forgotten(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
    ) -> None:
        store, kept, other = Disk(tmp_path, KEYRING, 8 * MIB), make(), make("/other", topics=["other"])
        await store.store(kept.pointer, kept.sealed)
        await store.store(other.pointer, other.sealed)
        full = FullDisk(monkeypatch)
        await store.store(other.pointer, other.sealed)
        assert await store.find(kept.pointer.name) == [kept.pointer]
        await store.drop(kept.pointer.topics)
        assert await store.find(kept.pointer.name) == []
        assert [word in said for word, said in zip(("nothing new", "emptied"), warnings(), strict=True)] == [True, True]
        full.relieve()
        await store.store(other.pointer, other.sealed)
        assert await store.pointers(9) == [other.pointer]
        await store.close()

    async def test_a_closed_store_finds_nothing(self, store: Disk) -> None:
        kept = make()
        await store.store(kept.pointer, kept.sealed)
        await store.close()
        await store.close()
        await store.drop(kept.pointer.topics)
        assert await store.find(kept.pointer.name) == []


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

    def test_a_write_that_fails_changes_nothing(self, tmp_path: Path) -> None:
        db, kept = database.Database(tmp_path / FILE, 8 * MIB), make(body=random.Random(1).randbytes(200_000))
        db._db.execute("PRAGMA max_page_count = 20")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            db.store(kept.pointer, b"note", kept.sealed)
        assert (db.newest(9), db.block(kept.pointer.cid)) == ([], None)
        db._db.execute("PRAGMA max_page_count = 2000")
        assert db.store(kept.pointer, b"note", kept.sealed)
        db.close()

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
            safe.owe(self._raise(sqlite3.SQLITE_IOERR))
        assert safe.run(lambda _: True, False) is False
        assert "does not let go" in warnings()[-1]
        safe.close()

    def test_what_is_owed_is_paid_on_closing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        safe, paid = self._safe(tmp_path), []
        monkeypatch.setattr(recovery, "_LOCK_SECONDS", 0.0)
        with self._safe(tmp_path)._locked():
            safe.owe(lambda _: paid.append(True))
        assert paid == []
        safe.close()
        assert paid == [True]


class TestHanging:
    """A disk that does not answer: `gate` holds its thread."""

    @pytest.fixture
    async def gate(self, store: Disk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[threading.Event]:
        monkeypatch.setattr(disk, "_DEADLINE", 0.05)
        await store.find(b"")
        gate = threading.Event()
        begun = threading.Event()

        def hold() -> None:
            begun.set()
            gate.wait(30)

        held = asyncio.create_task(store._thread.run(hold, None, 30))
        await asyncio.sleep(0)
        await asyncio.to_thread(begun.wait, 30)
        yield gate
        gate.set()
        await held

    async def test_it_finds_nothing_in_time(self, store: Disk, gate: threading.Event) -> None:
        async with asyncio.timeout(5):
            assert await store.find(b"name") == []

    async def test_a_drop_is_done_although_nobody_waits_any_more(
        self, store: Disk, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept, late = make(), make("/late")
        monkeypatch.setattr(disk, "_DEADLINE", 30)
        storing = asyncio.create_task(store.store(kept.pointer, kept.sealed))
        await asyncio.sleep(0)
        monkeypatch.setattr(disk, "_DEADLINE", 0.05)
        await store.drop(kept.pointer.topics)
        monkeypatch.setattr(disk, "_DEADLINE", 30)
        gate.set()
        await store.store(late.pointer, late.sealed)
        await storing
        assert await store.pointers(9) == [late.pointer]

    async def test_the_queue_is_bounded(
        self, store: Disk, gate: threading.Event, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
    ) -> None:
        monkeypatch.setattr(disk, "_QUEUE", 5)
        monkeypatch.setattr(disk, "_QUEUE_OF_DROPS", 8)
        await asyncio.gather(*(store.find(b"name") for _ in range(20)))
        assert store._thread.waiting == 5
        await asyncio.gather(*(store.drop([b"topic"]) for _ in range(20)))
        assert store._thread.waiting == 8
        gate.set()
        assert await store.find(b"name") == []
        assert ["hangs" in warning for warning in warnings()] == [True]

    async def test_what_goes_wrong_in_a_job_reaches_whoever_waits(self, store: Disk) -> None:
        with pytest.raises(ZeroDivisionError):
            await store._thread.run(lambda: 1 // 0, 0, 5)


WRITER = """
import asyncio, os, random, signal, sys
from pathlib import Path
from p2pcache.cache.database import Database
from p2pcache.cache.disk import Disk
from conformance import KEYRING, make

async def main(directory, seed, count):
    disk = Disk(Path(directory), KEYRING, 1024 * 1024)
    chance = random.Random(seed)
    for i in range(count):
        kept = make(f"/{chance.randrange(60)}", body=chance.randbytes(chance.randrange(30_000)), topics=[f"{i % 5}"])
        await disk.store(kept.pointer, kept.sealed)
        if i % 20 == 19:
            await disk.drop([KEYRING.topic_name(f"{chance.randrange(5)}")])
        if i == 30:
            print("writing", flush=True)
    await disk.close()

def die_after(steps):
    # A cache of few pages makes SQLite write in the middle of its transactions, where the process then dies.
    prepare = Database._prepare

    def step():
        nonlocal steps
        steps -= 1
        if not steps:
            os.kill(os.getpid(), signal.SIGKILL)

    def prepared(self):
        prepare(self)
        self._db.execute("PRAGMA cache_size = 4")
        self._db.set_progress_handler(step, 1)

    Database._prepare = prepared

if len(sys.argv) > 4:
    die_after(int(sys.argv[4]))
asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""
ROOT = Path(__file__).parents[3]
# Not as `tests.unit...`: a package in the environment is called `tests` too.
PATH = f"{ROOT}{os.pathsep}{Path(__file__).parent}"


def write(directory: Path, *numbers: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(directory), *map(str, numbers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": PATH})


async def verify(directory: Path) -> int:
    """How many entries are there; every one of them whole."""
    tier = Disk(directory, KEYRING, MIB)
    pointers = await tier.pointers(1000)
    for pointer in pointers:
        sealed = await tier.block(pointer)
        assert sealed is not None
        open_block(KEYRING, pointer.cid, sealed)
        assert cid_of(sealed) == pointer.cid
    await tier.close()
    db = sqlite3.connect(directory / FILE)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    orphans = "SELECT count(*) FROM blocks WHERE id NOT IN (SELECT block FROM pointers)"
    assert db.execute(orphans).fetchone() == (0,)
    db.close()
    assert not (directory / ASIDE).exists()
    return len(pointers)


class TestProcesses:
    def test_writers_wait_for_one_another(self, tmp_path: Path) -> None:
        database.Database(tmp_path / FILE, 64 * MIB).close()

        def store(writer: int) -> int:
            db = database.Database(tmp_path / FILE, 64 * MIB)
            entries = [make(f"/{writer}/{i}", body=b"%d" % i * 500) for i in range(80)]
            kept = sum(db.store(each.pointer, b"note", each.sealed) for each in entries)
            db.close()
            return kept

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(store, [1, 2])) == [80, 80]

    async def test_death_inside_a_transaction_leaves_the_one_before(self, tmp_path: Path) -> None:
        chance = random.Random(8)
        for seed in range(6):
            with write(tmp_path, seed, 1_000_000, chance.randrange(10_000, 30_000)) as child:
                assert child.wait(30) == -signal.SIGKILL
            assert await verify(tmp_path) > 0

    async def test_kill_at_any_moment_loses_no_integrity(self, tmp_path: Path) -> None:
        chance = random.Random(7)
        for seed in range(4):
            with write(tmp_path, seed, 1_000_000) as child:
                assert child.stdout is not None
                assert child.stdout.readline() == b"writing\n"
                # Not a wait for anything: the moment of death has to be arbitrary.
                await asyncio.sleep(chance.random() * 0.05)
                child.send_signal(signal.SIGKILL)
                child.wait(10)
            assert await verify(tmp_path) > 0

    async def test_processes_may_share_a_directory(self, tmp_path: Path) -> None:
        children = [write(tmp_path, seed, 150) for seed in (1, 2)]
        for child in children:
            with child:
                assert child.wait(30) == 0
        assert await verify(tmp_path) > 0
