"""All tiers as one: find every pointer, open a block from wherever it is, keep and forget everywhere."""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from p2pcache.cache import codec
from p2pcache.cache.entry import Block, Entry, Pointer
from p2pcache.cache.memory import Memory
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.tiers import Tier

MAX_EPOCHS = 65_536
MAX_PLACES = 65_536
MAX_BACKGROUND = 1024
DROP_SECONDS = 0.25
"""How long a writer waits for slow tiers to forget; the peers' own bound is 100 ms."""


@dataclass(frozen=True, slots=True)
class Found:
    """A pointer and the tier that knows it; None is memory."""

    pointer: Pointer
    tier: Tier | None


class Library:
    """Memory in front of the other tiers, in the order in which they are asked."""

    def __init__(self, memory: Memory, tiers: Sequence[Tier], keyring: Keyring) -> None:
        self.memory = memory
        self.keyring = keyring
        self.tiers = tiers
        self._epochs: OrderedDict[bytes, int] = OrderedDict()
        self._epoch = itertools.count(1)
        self._floor = 0
        self._places: OrderedDict[bytes, tuple[bytes, bytes]] = OrderedDict()
        self._background: set[asyncio.Task[None]] = set()

    async def find(self, name: bytes, scope: bytes, now: float) -> list[Found]:
        """Every pointer for a resource, nearest tier first; stops at a tier that has a fresh one for `scope`."""
        found = [Found(entry.pointer, None) for entry in self.memory.find(name)]
        for tier in self.tiers:
            if any(f.pointer.scope == scope and f.pointer.fresh(now) for f in found):
                break
            found += [Found(pointer, tier) for pointer in await tier.find(name)]
        return found

    async def open(self, pointer: Pointer, found: Iterable[Found]) -> tuple[Block, str] | None:
        """The block of `pointer` and the name of the tier that had it; None when nobody has it any more.

        Whatever `found` holds of the same CID will do: the CID vouches for the bytes.
        """
        for known in found:
            if known.pointer.cid != pointer.cid:
                continue
            if known.tier is None:
                entry = self.memory.get((known.pointer.name, known.pointer.scope))
                if entry is not None and entry.pointer.cid == pointer.cid:
                    return entry.block, "memory"
            elif (sealed := await known.tier.block(known.pointer)) is not None:
                try:
                    return codec.open_block(self.keyring, pointer.cid, sealed), known.tier.name
                except codec.BlockError:
                    continue
        return None

    def seal(self, block: Block) -> tuple[bytes, bytes]:
        """The block's CID and sealed bytes."""
        return codec.seal_block(self.keyring, block)

    def sealed(self, cid: bytes) -> bytes | None:
        """A block that memory holds, sealed again (sealing is deterministic), for a peer."""
        entry = self.memory.get(self._places.get(cid, (b"", b"")))
        return self.seal(entry.block)[1] if entry and entry.pointer.cid == cid else None

    def epoch(self, topics: Collection[bytes]) -> int:
        """A number that grows whenever something with one of `topics` was dropped.

        A body asked for before a write and arriving after it must not be kept: it may be the state before.
        """
        return max(self._floor, *(self._epochs.get(topic, 0) for topic in topics), 0)

    def keep(self, entry: Entry, sealed: bytes, *, besides: str = "") -> asyncio.Task[None] | None:
        """Hold an entry in memory now and in the other tiers (but for `besides`, where it came from) soon.

        Returns the task that stores it, or None when too much waits already and only memory has it.
        """
        self.memory.put(entry)
        self._places[entry.pointer.cid] = entry.key
        self._places.move_to_end(entry.pointer.cid)
        if len(self._places) > MAX_PLACES:
            self._places.popitem(last=False)
        tiers = [tier for tier in self.tiers if tier.name != besides]
        if not tiers or len(self._background) >= MAX_BACKGROUND:
            return None
        return self._spawn(self._store(tiers, entry.pointer, sealed))

    async def _store(self, tiers: Sequence[Tier], pointer: Pointer, sealed: bytes) -> None:
        await asyncio.gather(*(tier.store(pointer, sealed) for tier in tiers))

    def forget(self, topics: Collection[bytes], scope: bytes | None = None) -> None:
        """Drop from memory, and void what is on its way: a peer or a writer says it may have changed."""
        now = next(self._epoch)
        for topic in topics:
            self._epochs[topic] = now
            self._epochs.move_to_end(topic)
        while len(self._epochs) > MAX_EPOCHS:
            self._floor = max(self._floor, self._epochs.popitem(last=False)[1])
        self.memory.drop(topics, scope)

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, *, local: bool = False) -> None:
        """Forget everywhere; `local` leaves the peers alone. Returns when all have, or after `DROP_SECONDS`."""
        self.forget(topics, scope)
        tiers = [tier for tier in self.tiers if not (local and tier.name == "peer")]
        if tiers:
            await asyncio.wait([self._spawn(tier.drop(topics, scope)) for tier in tiers], timeout=DROP_SECONDS)

    def drop_soon(self, topics: Collection[bytes], scope: bytes | None) -> None:
        """A peer's write: memory forgets at once, the other tiers of this node as soon as they can."""
        self.forget(topics, scope)
        for tier in self.tiers:
            if tier.name != "peer":
                self._spawn(tier.drop(topics, scope))

    def adopt(self, pointer: Pointer, sealed: bytes) -> None:
        """Keep a block a peer announced, verified but for its seal, for others: it is opened when it is asked for."""
        for tier in self.tiers:
            if tier.name != "peer":
                self._spawn(tier.store(pointer, sealed))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def close(self) -> None:
        """Wait briefly for what is being stored, then give up on it."""
        if self._background:
            _, late = await asyncio.wait(self._background, timeout=2.0)
            for task in late:
                task.cancel()
