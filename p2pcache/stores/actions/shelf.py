"""The entries that a node has from packs, or for packs: in memory, bounded, the least recently used give way."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Iterator

from p2pcache.cache.entry import Pointer
from p2pcache.stores.actions.packs import PackedEntry
from p2pcache.stores.bundle import MAX_SCOPES

Place = tuple[bytes, bytes]
"""A resource and a scope, by name."""

MOST_BYTES = 24 << 20
MOST_ENTRIES = 16_384


class Shelf:
    """Entries by resource and scope; a block that several name is kept once."""

    def __init__(self, most_bytes: int = MOST_BYTES, most_entries: int = MOST_ENTRIES) -> None:
        self._most_bytes = most_bytes
        self._most_entries = most_entries
        self._pointers: OrderedDict[Place, Pointer] = OrderedDict()
        self._scopes: dict[bytes, dict[bytes, None]] = {}
        self._blocks: dict[bytes, bytes] = {}
        self._uses: dict[bytes, int] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._pointers)

    def __iter__(self) -> Iterator[PackedEntry]:
        """Iterate over the entries, the least recently used first."""
        return (PackedEntry(pointer, self._blocks[pointer.cid]) for pointer in self._pointers.values())

    def get(self, place: Place) -> Pointer | None:
        """Return the pointer of a resource and scope; this does not count as use."""
        return self._pointers.get(place)

    def find(self, name: bytes) -> list[Pointer]:
        """Return the pointers of a resource, the newest first."""
        found = [self._pointers[name, scope] for scope in self._scopes.get(name, ())]
        return sorted(found, key=lambda pointer: pointer.proved_at, reverse=True)

    def block(self, pointer: Pointer) -> bytes | None:
        """Return the sealed block of a pointer, whose entry now counts as used."""
        if (place := (pointer.name, pointer.scope)) in self._pointers:
            self._pointers.move_to_end(place)
        return self._blocks.get(pointer.cid)

    def put(self, pointer: Pointer, sealed: bytes) -> bool:
        """Keep an entry in place of an older one of its resource and scope; return whether it is kept."""
        place = pointer.name, pointer.scope
        known = self._pointers.get(place)
        if (known is not None and known.proved_at > pointer.proved_at) or len(sealed) > self._most_bytes:
            return False
        if self._uses.get(pointer.cid, 0) == 0:
            self._blocks[pointer.cid] = sealed
            self._bytes += len(sealed)
        self._uses[pointer.cid] = self._uses.get(pointer.cid, 0) + 1
        self.discard(place)
        self._pointers[place] = pointer
        scopes = self._scopes.setdefault(pointer.name, {})
        scopes[pointer.scope] = None
        if len(scopes) > MAX_SCOPES:
            self.discard((pointer.name, self.find(pointer.name)[-1].scope))
        while self._bytes > self._most_bytes or len(self._pointers) > self._most_entries:
            self.discard(next(iter(self._pointers)))
        return place in self._pointers

    def discard(self, place: Place) -> None:
        """Forget an entry, if it is there."""
        pointer = self._pointers.pop(place, None)
        if pointer is None:
            return
        scopes = self._scopes[pointer.name]
        del scopes[pointer.scope]
        if not scopes:
            del self._scopes[pointer.name]
        self._uses[pointer.cid] -= 1
        if not self._uses[pointer.cid]:
            del self._uses[pointer.cid]
            self._bytes -= len(self._blocks.pop(pointer.cid))

    def drop(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        """Forget what carries one of `topics` and was proved by `until`; with `scope`, only that scope's."""
        wanted = set(topics)
        for place, pointer in list(self._pointers.items()):
            in_scope = scope is None or pointer.scope == scope
            if in_scope and pointer.proved_at <= until and not wanted.isdisjoint(pointer.topics):
                self.discard(place)
