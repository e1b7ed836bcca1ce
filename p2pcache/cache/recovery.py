"""A database that never raises: it moves broken files aside, does without unusable ones, and logs each trouble once."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from p2pcache.cache.database import Database, NotOursError

FILE = "blocks.db"
ASIDE = "blocks.db.aside"
LOCK = "blocks.lock"
_PARTS = ("", "-wal", "-shm")

_MAX_ASIDE = 3
_MAX_PENDING = 1000
_LOCK_SECONDS = 2.0
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_log = logging.getLogger(__name__)

R = TypeVar("R")


class SafeDatabase:
    """Opens the file in `directory` when it is first needed, and again after a failure. For one thread."""

    def __init__(self, directory: Path, max_bytes: int, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._clock = clock
        self._db: Database | None = None
        self._inode = 0
        self._disabled = False
        self._aside = 0
        self._pending: list[Callable[[Database], None]] = []
        self._warned: set[str] = set()
        self.errors = 0
        """The number of failures of the disk or the file so far."""
        self.trouble = ""
        """What keeps new entries from being stored at present, one sentence; empty when nothing does."""

    def run(self, work: Callable[[Database], R], default: R) -> R:
        """Return the result of `work`, or `default` when the disk does not allow it now."""
        if self._disabled:
            return default
        try:
            db = self._opened()
            # Pending drops come before any read: where they fail, nothing is read.
            while self._pending:
                self._pending[0](db)
                del self._pending[0]
            return work(db)
        except (sqlite3.Error, OSError, NotOursError) as error:
            self._handle(error)
            return default

    def store(self, work: Callable[[Database], R], default: R) -> R:
        """Run `work` that takes up room: when it succeeds, the trouble is over."""

        def stored(db: Database) -> R:
            result = work(db)
            self.trouble = ""
            return result

        return self.run(stored, default)

    def ensure(self, work: Callable[[Database], None]) -> None:
        """Run `work` now; when the disk does not allow it, run it before any other work."""
        self._pending.append(work)
        self.run(lambda _: None, None)
        if len(self._pending) > _MAX_PENDING:
            self._disable("it does not let go of what changed")

    def _disable(self, reason: str) -> None:
        """Do without the file from now on, and log the reason."""
        self._disabled = True
        self._pending.clear()
        self._close()
        state = f"is not used: {reason}"
        self.trouble = f"the disk store {state}"
        self._warn(f"the disk store in {self._directory} {state}; --dir or CACHE_DIR can name another one")

    def close(self) -> None:
        """Run pending work, write the times of use, close the file."""
        if self._db is not None or self._pending:
            self.run(Database.flush, None)
        self._close()
        self._disabled = True

    def _opened(self) -> Database:
        if self._db is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                try:
                    self._db = self._database()
                except sqlite3.DatabaseError as error:
                    if not _broken(error):
                        raise
                    self._set_aside()
                    self._db = self._database()
                self._inode = (self._directory / FILE).stat().st_ino
        return self._db

    def _database(self) -> Database:
        return Database(self._directory / FILE, self._max_bytes, self._clock)

    def _handle(self, error: sqlite3.Error | OSError | NotOursError) -> None:
        if _code(error) == sqlite3.SQLITE_BUSY or isinstance(error, TimeoutError):
            return  # another process is writing: a miss, not a failure
        self.errors += 1
        if self._db is None:
            self._disable(str(error))
        elif _broken(error):
            self._replace(self._set_aside)
        elif _code(error) == sqlite3.SQLITE_FULL and self._pending:
            # A deletion needs room too, for the log. To remove the files is the only way to drop, and makes room.
            self._replace(self._remove)
        else:
            self.trouble = f"the disk store keeps nothing new for now: {error}"
            self._warn(f"the disk store in {self._directory} keeps nothing new for now: {error}")

    def _replace(self, remove: Callable[[], None]) -> None:
        self._close()
        try:
            with self._locked(), suppress(FileNotFoundError):
                # Another process that shares the directory may have replaced the file already.
                if (self._directory / FILE).stat().st_ino == self._inode:
                    remove()
        except OSError as error:
            self._disable(str(error))

    def _set_aside(self) -> None:
        """Move the file aside together with its log, which would otherwise corrupt the new file."""
        self._aside += 1
        if self._aside > _MAX_ASIDE:
            raise OSError("its file breaks again and again")
        for part in _PARTS:
            (self._directory / f"{ASIDE}{part}").unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                (self._directory / f"{FILE}{part}").replace(self._directory / f"{ASIDE}{part}")
        self._warn(f"the disk store in {self._directory} was damaged and starts anew; the old file is {ASIDE}")

    def _remove(self) -> None:
        for part in _PARTS:
            (self._directory / f"{FILE}{part}").unlink(missing_ok=True)
        self._warn(f"the disk store in {self._directory} was emptied: the disk is full")

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time open or move the file; raise `TimeoutError` after `_LOCK_SECONDS`."""
        until = time.monotonic() + _LOCK_SECONDS
        with os.fdopen(os.open(self._directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600), "wb") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise TimeoutError("another process keeps the disk store locked") from None
                    time.sleep(0.01)
            yield

    def _warn(self, sentence: str) -> None:
        if sentence not in self._warned:
            self._warned.add(sentence)
            _log.warning("%s", sentence)


def _code(error: Exception) -> int:
    """Return SQLite's primary result code (https://www.sqlite.org/rescode.html), 0 for other errors."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _broken(error: Exception) -> bool:
    return _code(error) in _BROKEN
