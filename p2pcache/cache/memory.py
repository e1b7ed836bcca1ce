"""The first tier: opened entries in memory, evicted by least recent use. For one event loop, hence no lock."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Iterator

from p2pcache.cache.entry import Entry, Pointer

Name = bytes
Key = tuple[Name, Name]

LARGEST_SHARE = 8
"""An entry larger than one part in `LARGEST_SHARE` of the bound is not kept: it would evict too many others."""

# Measured on CPython 3.11 (tests/unit/cache/test_memory.py holds it to account): objects, index rows, string headers.
_ENTRY_OVERHEAD = 2000
_TOPIC_OVERHEAD = 350
_HEADER_OVERHEAD = 160
_VARIANT_OVERHEAD = 200


class Memory:
    """Entries by resource and scope, bounded in bytes: bodies, headers, variants and what Python adds to them.

    An entry belongs to the memory while it is `alive`. It is renewed by putting a new `Entry`, never in place.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._sizes: dict[Key, int] = {}
        self._by_name: dict[Name, dict[Key, None]] = {}
        self._by_topic: dict[Name, dict[Key, None]] = {}

    @property
    def bytes(self) -> int:
        """The bytes accounted for now; never more than the bound."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Entry | None:
        """Return the entry, which now counts as the most recently used; None without one."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def find(self, name: Name) -> list[Entry]:
        """Return the entries of a resource, of any scope; this does not count as use."""
        return [self._entries[key] for key in self._by_name.get(name, ())]

    def pointers(self) -> Iterator[Pointer]:
        """Iterate over all pointers, the most recently used first; memory must not change meanwhile."""
        return (entry.pointer for entry in reversed(self._entries.values()))

    def put(self, entry: Entry) -> bool:
        """Keep `entry` in place of the one with its key; return False, and leave it not alive, when it is too large."""
        key = entry.key
        self.discard(key)
        size = _size(entry)
        if size > self._max_bytes // LARGEST_SHARE:
            entry.alive = False
            return False
        entry.alive = True
        self._entries[key] = entry
        self._sizes[key] = size
        self._bytes += size
        self._by_name.setdefault(key[0], {})[key] = None
        for topic in entry.pointer.topics:
            self._by_topic.setdefault(topic, {})[key] = None
        self._evict()
        return True

    def grow(self, entry: Entry, size: int) -> bool:
        """Account for a variant of `size` bytes to be kept with the entry; return False when it must not be kept."""
        key = entry.key
        size += _VARIANT_OVERHEAD
        if not entry.alive or self._sizes[key] + size > self._max_bytes // LARGEST_SHARE:
            return False
        self._sizes[key] += size
        self._bytes += size
        self._entries.move_to_end(key)
        self._evict()
        return True

    def drop(self, topics: Collection[Name], scope: Name | None = None, until: float = math.inf) -> int:
        """Forget the entries that carry one of `topics` and were proved by `until`; with `scope`, only that scope's.

        Return their number.
        """
        keys = {key for topic in topics for key in self._by_topic.get(topic, ())}
        in_scope = [key for key in keys if scope is None or key[1] == scope]
        return sum(self.discard(key) for key in in_scope if self._entries[key].pointer.proved_at <= until)

    def discard(self, key: Key) -> bool:
        """Forget one entry; return whether it was there."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        entry.alive = False
        self._bytes -= self._sizes.pop(key)
        _unindex(self._by_name, key[0], key)
        for topic in dict.fromkeys(entry.pointer.topics):
            _unindex(self._by_topic, topic, key)
        return True

    def clear(self) -> None:
        """Forget all entries."""
        for key in list(self._entries):
            self.discard(key)

    def _evict(self) -> None:
        # The entry just used is the last in order and within its share of the bound, so it is never evicted.
        while self._bytes > self._max_bytes:
            self.discard(next(iter(self._entries)))


def _size(entry: Entry) -> int:
    pointer, block = entry.pointer, entry.block
    texts = (pointer.etag, pointer.last_modified, pointer.link, pointer.by)
    return (
        _ENTRY_OVERHEAD
        + len(block.body)
        + sum(len(name) + len(value) + _HEADER_OVERHEAD for name, value in block.headers)
        + sum(len(text or "") for text in texts)
        + len(pointer.topics) * _TOPIC_OVERHEAD
        + sum(len(variant) + _VARIANT_OVERHEAD for variant in entry.variants.values())
    )


def _unindex(index: dict[Name, dict[Key, None]], name: Name, key: Key) -> None:
    keys = index[name]
    del keys[key]
    if not keys:
        del index[name]
