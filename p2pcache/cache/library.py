"""All tiers as one: find every pointer, open a block from wherever it is, keep and forget everywhere."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from p2pcache.backends import Reach
from p2pcache.cache import codec
from p2pcache.cache.decide import believed
from p2pcache.cache.entry import Block, Entry, Pointer
from p2pcache.cache.guard import Guard
from p2pcache.cache.hedge import hedged
from p2pcache.cache.memory import Memory
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.tiers import Store, Tier
from p2pcache.cache.tombstones import Tombstones
from p2pcache.cache.wanted import Wanted
from p2pcache.clock import unix_time
from p2pcache.github import hosts, links

LARGE = 256 << 10
"""Bytes; sealing or opening a larger block leaves the event loop, which it would hold up for milliseconds."""


@dataclass(frozen=True, slots=True)
class TierLimits:
    """Seconds are above what tiers promise themselves (disk 1 s, peers 250 ms): these hold when one breaks its promise.

    Attributes:
        find, block, store: for one call of a tier.
        drop: how long a writer waits for slow tiers to forget; the peers' own bound is 100 ms.
        late_drop: how long they may take after that.
        close: for all that is being stored when the node stops, and for each tier to close.
        usual: what a tier near by takes for a block; then the next one that should have it is asked as well.
        background: stores under way at once; what is kept beyond that is in memory alone.
        places: blocks of memory that members can be given.
    """

    find: float = 1.5
    block: float = 3.0
    store: float = 30.0
    drop: float = 0.25
    late_drop: float = 30.0
    close: float = 2.0
    usual: float = 0.05
    background: int = 1024
    places: int = 65_536


MEMORY = "memory"
"""The detail of a hit there."""
Place = tuple[str, bytes]
"""Where a block should be: the detail of a hit there, and the CID."""


@dataclass(frozen=True, slots=True)
class Found:
    """A pointer and the tier that knows it; None is memory."""

    pointer: Pointer
    tier: Tier | None

    @property
    def place(self) -> Place:
        """Where its block should be."""
        return _detail(self.tier), self.pointer.cid


@dataclass(frozen=True, slots=True)
class Opened:
    """A block, the tier that had it (None: memory), and its sealed bytes unless that was memory."""

    block: Block
    tier: Tier | None
    sealed: bytes | None

    @property
    def detail(self) -> str:
        """What a hit there is called."""
        return _detail(self.tier)


def _detail(tier: Tier | None) -> str:
    return tier.backend.detail if tier else MEMORY


class Library:
    """Memory in front of the other tiers.

    Args:
        memory, tiers: where entries are.
        keyring: opens and seals blocks.
        verified: nothing that this node did not prove itself is fresh: what other tiers have are candidates.
        bases: the upstream's own URLs: a pointer from elsewhere whose `Link` leads to another place is not believed.
        clock: Unix seconds.
        limits: how long tiers may take, and how much.
        failed: told of what went wrong in a tier, for the ledger: ``disk_timeout``, ``peer_error``, ``peer_block``, ...
    """

    def __init__(
        self,
        memory: Memory,
        tiers: Sequence[Tier],
        keyring: Keyring,
        *,
        verified: bool = False,
        bases: tuple[str, ...] = (f"https://{hosts.API_HOST}",),
        clock: Callable[[], float] = unix_time,
        limits: TierLimits = TierLimits(),
        failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.memory = memory
        self.keyring = keyring
        self.tiers: tuple[Tier, ...] = ()
        self.mount(tiers)
        self.guard = Guard(failed)
        self.verified = verified
        self._bases = bases
        self._clock = clock
        self._limits = limits
        self._failed = failed
        self._forgotten = Tombstones()
        self._places: OrderedDict[bytes, tuple[bytes, bytes]] = OrderedDict()
        self._background: set[asyncio.Task[None]] = set()

    def mount(self, tiers: Iterable[Tier]) -> None:
        """Take these tiers instead of those before; they are asked by what a look-up costs there."""
        self.tiers = tuple(sorted(tiers, key=lambda tier: (tier.backend.look_up, tier.backend.reach)))

    @property
    def store(self) -> Store | None:
        """Where this host keeps what outlives the process."""
        return next((tier for tier in self.tiers if isinstance(tier, Store)), None)

    # Finding

    async def find(self, wanted: Wanted, lifetime: float, without: Collection[Place] = ()) -> list[Found]:
        """Every pointer for a resource, but those whose `place` is in `without`, memory's first.

        No more tiers are asked once there is a fresh one for the caller's scope. Pointers of other tiers are as far as
        they can be `believed`; `lifetime` is what this node gives the resource, in seconds.
        """
        found = [Found(entry.pointer, None) for entry in self.memory.find(wanted.name)]
        found = [f for f in found if f.place not in without]

        def enough(found: list[Found]) -> bool:
            now = self._clock()
            return any(f.pointer.scope == wanted.scope and f.pointer.fresh(now) for f in found)

        if self.tiers and not enough(found):
            ask = [(tier.backend.look_up, partial(self._find, tier, wanted, lifetime, without)) for tier in self.tiers]
            for more in await hedged(ask, enough):
                found += more
        return found

    async def _find(self, tier: Tier, wanted: Wanted, lifetime: float, without: Collection[Place]) -> list[Found]:
        found: list[Found] = []
        for name in (wanted.name, *wanted.older):
            told = await self.guard(tier.backend.detail, tier.find(name), (), self._limits.find)
            pointers = (p for p in told if p.link is None or links.within(p.link, self._bases))
            now = self._clock()
            dropped = self.dropped(wanted) if tier.backend.droppable and not self.verified else math.inf
            known = (Found(believed(p, wanted.topics, lifetime, now, dropped), tier) for p in pointers)
            found += [f for f in known if f.place not in without]
        return found

    async def open(self, pointer: Pointer, found: Iterable[Found]) -> Opened | None:
        """The block of `pointer`; None when nobody has it any more.

        Whatever `found` holds of the same CID will do, the nearest first: the CID vouches for the bytes.
        """
        known = {f.tier: f for f in reversed([*found]) if f.pointer.cid == pointer.cid}
        nearest = sorted(known.values(), key=lambda f: f.tier.backend.reach if f.tier else 0)
        calls = [(self._limits.usual, partial(self._open, f)) for f in nearest]
        opened = await hedged(calls, lambda opened: opened is not None)
        return next((each for each in opened if each is not None), None)

    async def _open(self, known: Found) -> Opened | None:
        pointer, tier = known.pointer, known.tier
        if tier is None:
            entry = self.memory.get((pointer.name, pointer.scope))
            return Opened(entry.block, None, None) if entry and entry.pointer.cid == pointer.cid else None
        sealed = await self.guard(tier.backend.detail, tier.block(pointer), None, self._limits.block)
        if sealed is None:
            return None
        try:
            if len(sealed) < LARGE:
                block = codec.open_block(self.keyring, pointer.cid, sealed)
            else:
                block = await asyncio.to_thread(codec.open_block, self.keyring, pointer.cid, sealed)
        except codec.BlockError:
            self._failed(f"{tier.backend.detail}_block")
            return None
        return Opened(block, tier, sealed)

    # Keeping

    async def seal(self, block: Block) -> tuple[bytes, bytes]:
        """The block's CID and sealed bytes."""
        if len(block.body) < LARGE:
            return codec.seal_block(self.keyring, block)
        return await asyncio.to_thread(codec.seal_block, self.keyring, block)

    def sealed(self, cid: bytes) -> bytes | None:
        """A block that memory holds, sealed again (sealing is deterministic), for a peer."""
        entry = self.memory.get(self._places.get(cid, (b"", b"")))
        return codec.seal_block(self.keyring, entry.block)[1] if entry and entry.pointer.cid == cid else None

    def epoch(self, topics: Collection[bytes], scope: bytes) -> int:
        """A number that grows whenever something of `scope` with one of `topics` was dropped; 0 if never.

        A body asked for before a write and arriving after it must not be kept: it may be the state before.
        """
        return self._forgotten.epoch(topics, scope)

    def dropped(self, wanted: Wanted) -> float:
        """When what is wanted was last dropped, Unix seconds: older vouchers are void."""
        return self._forgotten.since((*wanted.topics, wanted.name), wanted.scope)

    def stands(self, pointer: Pointer) -> bool:
        """Whether nothing that it may be about was dropped since GitHub vouched for it."""
        return pointer.proved_at > self._forgotten.since((*pointer.topics, pointer.name), pointer.scope)

    def keep(self, entry: Entry, sealed: bytes, *, exclude: Tier | None = None) -> None:
        """Hold an entry in memory now and in the other tiers (but for `exclude`, where it came from) soon.

        When too much waits to be stored already, only memory has it.
        """
        self.memory.put(entry)
        self._places[entry.pointer.cid] = entry.key
        self._places.move_to_end(entry.pointer.cid)
        if len(self._places) > self._limits.places:
            self._places.popitem(last=False)
        for tier in self.tiers:
            if tier is not exclude:
                self._store(tier, entry.pointer, sealed)

    def adopt(self, pointer: Pointer, sealed: bytes) -> None:
        """Keep a block a peer announced, verified but for its seal, for others: it is opened when it is asked for."""
        for tier in self.tiers:
            if tier.backend.reach is not Reach.FLEET:
                self._store(tier, pointer, sealed)

    def _store(self, tier: Tier, pointer: Pointer, sealed: bytes) -> None:
        if len(self._background) < self._limits.background:
            self._spawn(self.guard(tier.backend.detail, tier.store(pointer, sealed), None, self._limits.store))

    # Forgetting

    def forget(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        """Drop from memory, and void what is on its way: a peer or a writer says it may have changed, until then."""
        self._forgotten.mark(topics, scope, min(until, self._clock()))
        self.memory.drop(topics, scope, until)

    def doubt(self, wanted: Wanted) -> None:
        """GitHub refused the caller this one resource: what any tier has of it for this scope needs a new proof."""
        self._forgotten.mark((wanted.name,), wanted.scope, self._clock())
        self.memory.discard((wanted.name, wanted.scope))

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, *, local: bool = False) -> None:
        """Forget everywhere; `local`: on this host alone. Returns when all have, or after `TierLimits.drop`."""
        dropping = self._drop(topics, scope, local=local)
        if dropping:
            await asyncio.wait(dropping, timeout=self._limits.drop)
        self._forgotten.extend(topics, scope, self._clock())

    def drop_soon(self, topics: Collection[bytes], scope: bytes | None, until: float = math.inf) -> None:
        """A peer's write: memory forgets at once, the other tiers of this node as soon as they can.

        `until` is when it happened, Unix seconds: what was proved since then stays.
        """
        self._drop(topics, scope, until, local=True)

    def _drop(
        self, topics: Collection[bytes], scope: bytes | None, until: float = math.inf, *, local: bool
    ) -> list[asyncio.Task[None]]:
        self.forget(topics, scope, until)
        return [
            self._spawn(self.guard(tier.backend.detail, tier.drop(topics, scope, until), None, self._limits.late_drop))
            for tier in self.tiers
            if tier.backend.droppable and not (local and tier.backend.reach > Reach.HOST)
        ]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def flush(self) -> None:
        """Wait briefly for what is being stored, then give up on it."""
        if self._background:
            _, late = await asyncio.wait(self._background, timeout=self._limits.close)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def close(self) -> None:
        """Store what is under way and close the tiers."""
        await self.flush()
        for tier in self.tiers:
            await self.guard(tier.backend.detail, tier.close(), None, self._limits.close)
