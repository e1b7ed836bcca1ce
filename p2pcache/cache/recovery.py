"""A database that never raises: broken files are moved aside, what cannot be used is gone without, and said once."""

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

_MOST_ASIDE = 3
_MOST_OWED = 1000
_LOCK_SECONDS = 2.0
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_log = logging.getLogger(__name__)

R = TypeVar("R")


class SafeDatabase:
    """Opens the file in `directory` when it is first needed, and again after trouble. For one thread."""

    def __init__(self, directory: Path, max_bytes: int, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._clock = clock
        self._db: Database | None = None
        self._inode = 0
        self._off = False
        self._aside = 0
        self._owed: list[Callable[[Database], None]] = []
        self._said: set[str] = set()
        self.errors = 0
        """Failures of the disk or the file so far."""
        self.trouble = ""
        """What keeps new entries from being stored at present, one sentence."""

    def run(self, work: Callable[[Database], R], otherwise: R) -> R:
        """The result of `work`, or `otherwise` when the disk does not allow it now."""
        if self._off:
            return otherwise
        try:
            db = self._opened()
            # What was to be forgotten is forgotten before anything is read, or nothing is read.
            while self._owed:
                self._owed[0](db)
                del self._owed[0]
            return work(db)
        except (sqlite3.Error, OSError, NotOursError) as error:
            self._cope(error)
            return otherwise

    def store(self, work: Callable[[Database], R], otherwise: R) -> R:
        """As `run`, for work that takes up room: when it succeeds, the trouble is over."""

        def stored(db: Database) -> R:
            result = work(db)
            self.trouble = ""
            return result

        return self.run(stored, otherwise)

    def owe(self, work: Callable[[Database], None]) -> None:
        """Do `work` now; when the disk does not allow it, do it before anything else is done."""
        self._owed.append(work)
        self.run(lambda _: None, None)
        if len(self._owed) > _MOST_OWED:
            self._give_up("it does not let go of what changed")

    def _give_up(self, reason: str) -> None:
        """Go without from now on, and say so."""
        self._off = True
        self._owed.clear()
        self._close()
        self.trouble = f"the disk store is not used: {reason}"
        self._say(f"the disk store in {self._directory} is not used: {reason}; --dir or CACHE_DIR can name another one")

    def close(self) -> None:
        """Pay what is owed, write what is noted, close the file."""
        if self._db is not None or self._owed:
            self.run(Database.flush, None)
        self._close()
        self._off = True

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

    def _cope(self, error: sqlite3.Error | OSError | NotOursError) -> None:
        if _code(error) == sqlite3.SQLITE_BUSY or isinstance(error, TimeoutError):
            return  # another process writes: what is missed now is a miss, no more
        self.errors += 1
        if self._db is None:
            self._give_up(str(error))
        elif _broken(error):
            self._replace(self._set_aside)
        elif _code(error) == sqlite3.SQLITE_FULL and self._owed:
            # A deletion needs room too, for the log. Removing all is the one way to forget, and makes room.
            self._replace(self._remove)
        else:
            self.trouble = f"the disk store keeps nothing new for now: {error}"
            self._say(f"the disk store in {self._directory} keeps nothing new for now: {error}")

    def _replace(self, get_rid: Callable[[], None]) -> None:
        self._close()
        try:
            with self._locked(), suppress(FileNotFoundError):
                # Unless another process that shares the directory did it already.
                if (self._directory / FILE).stat().st_ino == self._inode:
                    get_rid()
        except OSError as error:
            self._give_up(str(error))

    def _set_aside(self) -> None:
        """Move the file and its log out of the way together: apart, they would spoil their successors."""
        self._aside += 1
        if self._aside > _MOST_ASIDE:
            raise OSError("its file breaks again and again")
        for part in _PARTS:
            (self._directory / f"{ASIDE}{part}").unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                (self._directory / f"{FILE}{part}").replace(self._directory / f"{ASIDE}{part}")
        self._say(f"the disk store in {self._directory} was damaged and starts anew; the old file is {ASIDE}")

    def _remove(self) -> None:
        for part in _PARTS:
            (self._directory / f"{FILE}{part}").unlink(missing_ok=True)
        self._say(f"the disk store in {self._directory} was emptied: the disk is full")

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time opens or moves the file; raises `TimeoutError` when that takes too long."""
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

    def _say(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            _log.warning("%s", sentence)


def _code(error: Exception) -> int:
    """SQLite's primary result code (https://www.sqlite.org/rescode.html), 0 for other errors."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _broken(error: Exception) -> bool:
    return _code(error) in _BROKEN
