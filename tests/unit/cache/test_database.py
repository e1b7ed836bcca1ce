from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from p2pcache.cache import database
from p2pcache.cache.codec import cid_of, open_block
from p2pcache.cache.disk import Disk
from p2pcache.cache.recovery import ASIDE, FILE
from p2pcache.testing.conformance import KEYRING, make

MIB = 1024 * 1024


async def test_uses_are_written_without_a_store(tmp_path: Path) -> None:
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


def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    db, kept = database.Database(tmp_path / FILE, 8 * MIB), make(body=random.Random(1).randbytes(200_000))
    db._db.execute("PRAGMA max_page_count = 20")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        db.store(kept.pointer, b"note", kept.sealed)
    assert (db.newest(9), db.block(kept.pointer.cid)) == ([], None)
    db._db.execute("PRAGMA max_page_count = 2000")
    assert db.store(kept.pointer, b"note", kept.sealed)
    db.close()


def test_writers_wait_for_one_another(tmp_path: Path) -> None:
    database.Database(tmp_path / FILE, 64 * MIB).close()

    def store(writer: int) -> int:
        db = database.Database(tmp_path / FILE, 64 * MIB)
        entries = [make(f"/{writer}/{i}", body=b"%d" % i * 500) for i in range(80)]
        kept = sum(db.store(each.pointer, b"note", each.sealed) for each in entries)
        db.close()
        return kept

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(store, [1, 2])) == [80, 80]


WRITER = """
import asyncio, os, random, signal, sys
from pathlib import Path
from p2pcache.cache.database import Database
from p2pcache.cache.disk import Disk
from p2pcache.testing.conformance import KEYRING, make

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


def test_usage_follows_what_is_stored(tmp_path: Path) -> None:
    db = database.Database(tmp_path / FILE, 8 * MIB)
    nothing, empty = db.usage()
    kept = make(body=random.Random(1).randbytes(100_000))
    db.store(kept.pointer, b"note", kept.sealed)
    entries, size = db.usage()
    assert (nothing, entries) == (0, 1)
    assert 100_000 < size < 200_000
    db.clear()
    assert db.usage()[0] == 0
    assert db.usage()[1] <= empty
    db.close()
