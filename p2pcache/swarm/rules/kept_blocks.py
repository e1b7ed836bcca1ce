"""What a hub keeps for one room: sealed blocks and their pointers, none of which it has to open. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from p2pcache.cache.entry import Pointer
from p2pcache.swarm.rules.directory import Directory

_HERE = "here"
_LARGEST_SHARE = 8
"""A block larger than one part in so many of the bound is not kept: it would evict too many others."""


class KeptBlocks:
    """Blocks by CID, the one kept longest ago evicted first, and the pointers that name them.

    Args:
        blocks: bytes of blocks.
        pointers: bytes of pointers.
        drops: topics whose invalidation is remembered, for pointers that are under way.
    """

    def __init__(self, blocks: int, pointers: int, drops: int) -> None:
        self._bound = blocks
        self._size = 0
        self._blocks: OrderedDict[bytes, bytes] = OrderedDict()
        self._index = Directory(pointers, pointers, drops)

    def put(self, pointer: Pointer, sealed: bytes) -> bool:
        """Keep a block; return False when its pointer is known, was dropped, or the block is too large."""
        if len(sealed) > self._bound // _LARGEST_SHARE or not self._index.add(pointer, _HERE):
            return False
        self._size += len(sealed) - len(self._blocks.pop(pointer.cid, b""))
        self._blocks[pointer.cid] = sealed
        while self._size > self._bound:
            cid, evicted = self._blocks.popitem(last=False)
            self._size -= len(evicted)
            self._index.remove(cid, _HERE)
        return True

    def sealed(self, cid: bytes) -> bytes | None:
        """Return a block."""
        return self._blocks.get(cid)

    def pointers(self) -> list[Pointer]:
        """Return the pointers of what is kept, the latest kept first."""
        return [pointer for pointer, _ in self.entries()]

    def entries(self) -> list[tuple[Pointer, bytes]]:
        """Return what is kept, the latest first: pointers with their blocks."""
        return [(each, self._blocks[each.cid]) for each in self._index.pointers() if each.cid in self._blocks]

    def drop(self, topics: Collection[bytes], scope: bytes | None, until: float) -> None:
        """Forget the pointers that carry one of `topics` and were proved by `until`, Unix seconds."""
        self._index.drop(topics, scope, until)
