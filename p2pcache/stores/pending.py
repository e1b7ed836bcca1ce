"""The writes that wait for a service: bounded, the newest for each resource and scope."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from p2pcache.cache.entry import Pointer

MOST = 1024
"""Writes."""
MOST_BYTES = 64 << 20


class PendingWrite(NamedTuple):
    """An entry to write."""

    pointer: Pointer
    sealed: bytes

    @property
    def key(self) -> tuple[bytes, bytes]:
        """What a newer write of the same replaces."""
        return self.pointer.name, self.pointer.scope


class Pending:
    """Writes in the order in which they came; those under way are among them, so that they are found."""

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._writes: OrderedDict[tuple[bytes, bytes], PendingWrite] = OrderedDict()
        self._taken: dict[tuple[bytes, bytes], PendingWrite] = {}
        self._bytes = 0
        self.lost = 0
        """Writes that gave way to newer ones, or were given up."""

    def __len__(self) -> int:
        return len(self._writes) + len(self._taken)

    def put(self, write: PendingWrite) -> None:
        """Add a write in place of an older one of the same; the oldest give way where there are too many."""
        self._remove(write.key)
        self._writes[write.key] = write
        self._bytes += len(write.sealed)
        while len(self._writes) > self._most or self._bytes > self._most_bytes:
            self._remove(next(iter(self._writes)))
            self.lost += 1

    def take(self, most: int) -> list[PendingWrite]:
        """Return the oldest writes; until `done`, they are still found."""
        batch: list[PendingWrite] = []
        while self._writes and len(batch) < most:
            write = self._writes[next(iter(self._writes))]
            self._remove(write.key)
            self._taken[write.key] = write
            batch.append(write)
        return batch

    def done(self, batch: Iterable[PendingWrite]) -> None:
        """Forget writes that were taken."""
        for write in batch:
            self._taken.pop(write.key, None)

    def clear(self) -> None:
        """Give all of them up."""
        self.lost += len(self)
        self._writes.clear()
        self._taken.clear()
        self._bytes = 0

    def pointers(self, name: bytes) -> tuple[Pointer, ...]:
        """Return the pointers of a resource that are to be written."""
        return tuple(write.pointer for write in self._all() if write.pointer.name == name)

    def block(self, cid: bytes) -> bytes | None:
        """Return a block that is to be written."""
        return next((write.sealed for write in self._all() if write.pointer.cid == cid), None)

    def _all(self) -> Iterable[PendingWrite]:
        yield from self._taken.values()
        yield from self._writes.values()

    def _remove(self, key: tuple[bytes, bytes]) -> None:
        if write := self._writes.pop(key, None):
            self._bytes -= len(write.sealed)
