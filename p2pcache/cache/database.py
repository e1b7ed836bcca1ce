"""The SQLite file of the disk store: its schema and statements. Threads, deadlines and failures are the callers'.

Nothing in it is in the clear: names, scopes and topics are keyed digests, pointers and blocks are sealed.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from p2pcache.cache.codec import cid_of
from p2pcache.cache.entry import Pointer
from p2pcache.clock import unix_time

VERSION = 1
APPLICATION_ID = 0x50325043  # "P2PC"

LARGEST_SHARE = 16
"""A block larger than one part in `LARGEST_SHARE` of the bound is not kept: it would evict too many others."""

_BUSY_SECONDS = 0.5
_PAGE = 4096
# Pages that a pointer, its topics and the index rows of both may take, beside the block itself.
_ROW_PAGES = 16
_MAX_TOUCHED = 256

# `news` orders pointers by when they were last stored. A block lives as long as a pointer names it: the triggers
# delete it in the transaction that deletes or renews its last pointer.
_ORPHAN = """
WHEN NOT EXISTS (SELECT 1 FROM pointers WHERE block = old.block)
BEGIN
    DELETE FROM blocks WHERE id = old.block;
END;
"""
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE blocks (
    id INTEGER PRIMARY KEY,
    cid BLOB NOT NULL UNIQUE,
    sealed BLOB NOT NULL
);
CREATE TABLE pointers (
    id INTEGER PRIMARY KEY,
    name BLOB NOT NULL,
    scope BLOB NOT NULL,
    block INTEGER NOT NULL REFERENCES blocks ON DELETE CASCADE,
    sealed BLOB NOT NULL,
    news INTEGER NOT NULL UNIQUE,
    used INTEGER NOT NULL,
    UNIQUE (name, scope)
);
CREATE INDEX pointers_by_block ON pointers (block);
CREATE INDEX pointers_by_use ON pointers (used);
CREATE TABLE topics (
    topic BLOB NOT NULL,
    pointer INTEGER NOT NULL REFERENCES pointers ON DELETE CASCADE,
    PRIMARY KEY (topic, pointer)
) WITHOUT ROWID;
CREATE INDEX topics_by_pointer ON topics (pointer);
CREATE TRIGGER block_forgotten AFTER DELETE ON pointers {_ORPHAN}
CREATE TRIGGER block_replaced AFTER UPDATE OF block ON pointers {_ORPHAN}
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""
_UPSERT = """
INSERT INTO pointers (name, scope, block, sealed, news, used)
VALUES (?, ?, (SELECT id FROM blocks WHERE cid = ?), ?, (SELECT coalesce(max(news), 0) + 1 FROM pointers), ?)
ON CONFLICT DO UPDATE SET block = excluded.block, sealed = excluded.sealed, news = excluded.news, used = excluded.used
RETURNING id
"""
_WITH_TOPIC = """
SELECT id, name, scope, sealed FROM pointers
WHERE id IN (SELECT pointer FROM topics WHERE topic = ?) AND coalesce(scope = ?, TRUE)
"""
_TOUCH = "UPDATE pointers SET used = ? WHERE block = (SELECT id FROM blocks WHERE cid = ?)"


class Row(NamedTuple):
    """A sealed pointer with the name and scope of its row, for which alone it can be opened."""

    name: bytes
    scope: bytes
    sealed: bytes


class NotOursError(Exception):
    """A healthy database that this version must not change; the message says whose it is."""


class Database:
    """Sealed blocks and pointers in one SQLite file, bounded by `max_bytes`. For one thread.

    The bound is on the file; its write-ahead log adds a few megabytes beside it. Every method may raise
    `sqlite3.Error`; a method that does has changed nothing.

    Raises:
        NotOursError: the file belongs to another program or to a newer version.
        sqlite3.Error, OSError: it cannot be opened, or is no database.
    """

    def __init__(self, path: Path, max_bytes: int, clock: Callable[[], float] = unix_time) -> None:
        self._max_pages = max_bytes // _PAGE
        self._clock = clock
        self._used: dict[bytes, int] = {}
        # SQLite gives its log the file's mode. A file that is there must not be opened and closed beside SQLite: that
        # would release the locks of this process (https://www.sqlite.org/howtocorrupt.html section 2.2).
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._refuse_foreign()
        self._db.execute(f"PRAGMA page_size = {_PAGE}")
        self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.execute(f"PRAGMA journal_size_limit = {1024 * _PAGE}")
        if self._pragma("user_version") == 0:
            self._db.executescript(_SCHEMA)
        with self._writing():
            self._make_room(0)
        self._shrink()

    def _refuse_foreign(self) -> None:
        tables, *_ = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables == 0:
            return
        if self._pragma("application_id") != APPLICATION_ID:
            raise NotOursError("it belongs to another program")
        if (version := self._pragma("user_version")) > VERSION:
            raise NotOursError(f"a newer p2pcache made it (version {version}, this one reads {VERSION})")

    def find(self, name: bytes) -> list[Row]:
        """Return the sealed pointers of a resource, the newest first."""
        rows = self._db.execute("SELECT name, scope, sealed FROM pointers WHERE name = ? ORDER BY news DESC", (name,))
        return [Row(*row) for row in rows]

    def newest(self, limit: int) -> list[Row]:
        """Return the `limit` sealed pointers that were stored last, the newest first."""
        rows = self._db.execute("SELECT name, scope, sealed FROM pointers ORDER BY news DESC LIMIT ?", (limit,))
        return [Row(*row) for row in rows]

    def block(self, cid: bytes) -> bytes | None:
        """Return the sealed block, which counts as used; delete one that the disk damaged, with its pointers."""
        row = self._db.execute("SELECT sealed FROM blocks WHERE cid = ?", (cid,)).fetchone()
        if row is None:
            return None
        sealed: bytes = row[0]
        if cid_of(sealed) != cid:
            with self._writing():
                self._db.execute("DELETE FROM blocks WHERE cid = ?", (cid,))
            return None
        self._used[cid] = int(self._clock())
        if len(self._used) >= _MAX_TOUCHED:
            self.flush()
        return sealed

    def usage(self) -> tuple[int, int]:
        """Return the number of entries, and the bytes that they and their indexes take."""
        (entries,) = self._db.execute("SELECT count(*) FROM pointers").fetchone()
        return entries, (self._pragma("page_count") - self._pragma("freelist_count")) * _PAGE

    def store(self, pointer: Pointer, sealed_pointer: bytes, sealed: bytes) -> bool:
        """Keep a pointer, and its block if new; return False when that is too large, or does not match its CID."""
        pages = len(sealed) // _PAGE + 1
        if pages > self._max_pages // LARGEST_SHARE or cid_of(sealed) != pointer.cid:
            return False
        with self._writing():
            self._make_room(pages + _ROW_PAGES)
            self._db.execute(
                "INSERT INTO blocks (cid, sealed) VALUES (?, ?) ON CONFLICT DO NOTHING", (pointer.cid, sealed)
            )
            row = (pointer.name, pointer.scope, pointer.cid, sealed_pointer, int(self._clock()))
            ((number,),) = self._db.execute(_UPSERT, row).fetchall()
            self._db.execute("DELETE FROM topics WHERE pointer = ?", (number,))
            topics = [(topic, number) for topic in set(pointer.topics)]
            self._db.executemany("INSERT INTO topics (topic, pointer) VALUES (?, ?)", topics)
        return True

    def delete(self, rows: Collection[Row]) -> None:
        """Delete these very rows; what was stored in their place since then stays."""
        with self._writing():
            self._db.executemany("DELETE FROM pointers WHERE name = ? AND scope = ? AND sealed = ?", rows)

    def drop(
        self, topics: Collection[bytes], scope: bytes | None, matches: Callable[[Row], bool] | None = None
    ) -> None:
        """Delete the pointers that carry one of the topics.

        With `scope` only that scope's, with `matches` only those for which it returns True.
        """
        with self._writing():
            for topic in topics:
                rows = self._db.execute(_WITH_TOPIC, (topic, scope)).fetchall()
                gone = [(number,) for number, *row in rows if matches is None or matches(Row(*row))]
                self._db.executemany("DELETE FROM pointers WHERE id = ?", gone)

    def clear(self) -> None:
        """Delete all entries, and return the space to the file system."""
        with self._writing():
            self._used.clear()
            self._db.execute("DELETE FROM pointers")
        self._shrink()

    def flush(self) -> None:
        """Write the times of use that are noted in memory."""
        with self._writing():
            pass

    def close(self) -> None:
        """Close the file; times of use that were not flushed are lost."""
        self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Run a transaction, which also writes the times of use; begun as a writer, it waits for others, not fails."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if self._used:
                touched = [(used, cid) for cid, used in self._used.items()]
                self._used.clear()
                self._db.executemany(_TOUCH, touched)
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _make_room(self, pages: int) -> None:
        """Evict the least recently used until `pages` more fit."""
        while self._pragma("page_count") - self._pragma("freelist_count") + pages > self._max_pages:
            oldest = "DELETE FROM pointers WHERE id = (SELECT id FROM pointers ORDER BY used, id LIMIT 1)"
            if not self._db.execute(oldest).rowcount:
                return

    def _shrink(self) -> None:
        # One step of this statement frees one page; a script is stepped to its end, `execute` is not.
        self._db.executescript("PRAGMA incremental_vacuum")

    def _pragma(self, name: str) -> int:
        (value,) = self._db.execute(f"PRAGMA {name}").fetchone()
        return int(value)
