from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from p2pcache.backends.disk import BACKEND
from p2pcache.cache import database
from p2pcache.cache import disk as module
from p2pcache.cache.codec import MAX_POINTER
from p2pcache.cache.disk import Disk
from p2pcache.cache.recovery import FILE
from p2pcache.cache.sealing import Keyring, generate_secret
from p2pcache.cache.tiers import Opening, Store
from p2pcache.testing.conformance import KEYRING, TierConformance, make
from tests.unit.cache.lab import fill

MIB = 1024 * 1024


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Disk]:
    tier = Disk(tmp_path / "store", KEYRING, 8 * MIB)
    yield tier
    await tier.close()


async def test_a_node_opens_it_in_its_own_directory(tmp_path: Path) -> None:
    disk = BACKEND.open(Opening({"disk_bytes": 1 << 20}, tmp_path, KEYRING))
    try:
        await disk.store(make().pointer, make().sealed)
        assert (tmp_path / "store").is_dir()
        assert isinstance(disk, Store)
    finally:
        await disk.close()


class TestDiskConforms(TierConformance):
    @pytest.fixture
    async def tier(self, store: Disk) -> Disk:
        return store


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

    @pytest.mark.parametrize("columns", ["sealed", "name", "scope"])
    async def test_rows_that_were_swapped_are_found_out_and_go(
        self, store: Disk, tmp_path: Path, warnings: Callable[[], list[str]], columns: str
    ) -> None:
        ours, theirs = make("/ours", scope="one", body=b"1"), make("/theirs", scope="two", body=b"2")
        for kept in (ours, theirs):
            await store.store(kept.pointer, kept.sealed)
        with contextlib.closing(sqlite3.connect(tmp_path / "store" / FILE, isolation_level=None)) as thief:
            (one, first), (two, second) = thief.execute(f"SELECT id, {columns} FROM pointers ORDER BY id").fetchall()
            for row, value in ((one, b"aside"), (two, first), (one, second)):
                thief.execute(f"UPDATE pointers SET {columns} = ? WHERE id = ?", (value, row))
        for kept in (ours, theirs):
            assert await store.find(kept.pointer.name) == []
        assert await store.pointers(9) == []
        assert len(warnings()) == 1
        assert "rearranged" in warnings()[0]
        with contextlib.closing(sqlite3.connect(tmp_path / "store" / FILE)) as left:
            assert left.execute("SELECT count(*) FROM pointers").fetchone() == (0,)
        await store.store(ours.pointer, ours.sealed)
        assert await store.find(ours.pointer.name) == [ours.pointer]

    async def test_a_row_stored_meanwhile_is_not_taken_for_the_forged_one(self, tmp_path: Path) -> None:
        kept, db = make(), database.Database(tmp_path / FILE, 8 * MIB)
        db.store(kept.pointer, b"forged", kept.sealed)
        rows = db.find(kept.pointer.name)
        db.store(kept.pointer, b"good", kept.sealed)
        db.delete(rows)
        assert [row.sealed for row in db.find(kept.pointer.name)] == [b"good"]
        db.close()

    @pytest.mark.parametrize("dropper", ["old", "old, new", "new, old"])
    @pytest.mark.parametrize("keeper", ["old", "old, new", "new, old"])
    async def test_a_drop_finds_what_was_kept_under_another_order_of_the_same_secrets(
        self, tmp_path: Path, keeper: str, dropper: str
    ) -> None:
        secrets = {"old": generate_secret(), "new": generate_secret()}
        kept_by, dropped_by = (Keyring.from_secrets([secrets[n] for n in who.split(", ")]) for who in (keeper, dropper))
        kept = make(keyring=kept_by)
        pointer = msgspec.structs.replace(kept.pointer, topics=kept_by.topic_names(["repo:octo/hello"]))
        tier = Disk(tmp_path, kept_by, 8 * MIB)
        await tier.store(pointer, kept.sealed)
        await tier.drop(dropped_by.topic_names(["repo:octo/hello"]))
        assert await tier.find(pointer.name) == []
        await tier.close()

    async def test_what_another_secret_sealed_is_dropped_whatever_its_age(self, store: Disk, tmp_path: Path) -> None:
        kept = make()
        await store.store(kept.pointer, kept.sealed)
        stranger = Disk(tmp_path / "store", Keyring.from_secrets([generate_secret()]), 8 * MIB)
        await stranger.drop(kept.pointer.topics, until=kept.pointer.proved_at - 1)
        await stranger.close()
        assert await store.find(kept.pointer.name) == []

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

    async def test_a_closed_store_finds_nothing(self, store: Disk) -> None:
        kept = make()
        await store.store(kept.pointer, kept.sealed)
        await store.close()
        await store.close()
        await store.drop(kept.pointer.topics)
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


class TestHanging:
    """A disk that does not answer: `gate` holds its thread."""

    @pytest.fixture
    async def gate(self, store: Disk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[threading.Event]:
        monkeypatch.setattr(module, "_DEADLINE", 0.05)
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
        monkeypatch.setattr(module, "_DEADLINE", 30)
        storing = asyncio.create_task(store.store(kept.pointer, kept.sealed))
        await asyncio.sleep(0)
        monkeypatch.setattr(module, "_DEADLINE", 0.05)
        await store.drop(kept.pointer.topics)
        monkeypatch.setattr(module, "_DEADLINE", 30)
        gate.set()
        await store.store(late.pointer, late.sealed)
        await storing
        assert await store.pointers(9) == [late.pointer]

    async def test_the_queue_is_bounded(
        self, store: Disk, gate: threading.Event, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
    ) -> None:
        monkeypatch.setattr(module, "_QUEUE", 5)
        monkeypatch.setattr(module, "_QUEUE_OF_DROPS", 8)
        await asyncio.gather(*(store.find(b"name") for _ in range(20)))
        assert store._thread.waiting == 5
        await asyncio.gather(*(store.drop([b"topic"]) for _ in range(20)))
        assert store._thread.waiting == 8
        gate.set()
        assert await store.find(b"name") == []
        assert ["hangs" in warning for warning in warnings()] == [True]
        assert "hangs" in store.trouble

    async def test_what_goes_wrong_in_a_job_reaches_whoever_waits(self, store: Disk) -> None:
        with pytest.raises(ZeroDivisionError):
            await store._thread.run(lambda: 1 // 0, 0, 5)


async def test_a_caller_that_is_cancelled_leaves_the_queue(store: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, begun, ran = threading.Event(), threading.Event(), []

    def slow(db: database.Database, resource: bytes) -> list[database.Row]:
        ran.append(resource)
        begun.set()
        gate.wait(20)
        return []

    monkeypatch.setattr(database.Database, "find", slow)
    looks = [asyncio.create_task(store.find(b"%d" % n)) for n in range(20)]
    await asyncio.to_thread(begun.wait, 20)
    for look in looks:
        look.cancel()
    await asyncio.wait(looks)
    gate.set()
    await store.usage()  # what is asked next has waited for all before it
    assert ran == [b"0"]
