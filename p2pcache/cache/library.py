"""All tiers as one: find pointers, open a block from any tier, keep and drop entries in all of them."""

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
from p2pcache.cache.decide import clamped
from p2pcache.cache.entry import Block, Entry, Pointer
from p2pcache.cache.guard import Guard
from p2pcache.cache.hedge import NEAR, hedged
from p2pcache.cache.memory import Memory
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.tiers import Awaited, Remote, Store, Tier
from p2pcache.cache.tombstones import Tombstones
from p2pcache.cache.wanted import Wanted
from p2pcache.clock import unix_time
from p2pcache.github import hosts, links
from p2pcache.github.request import Lifetime

LARGE = 256 << 10
"""Bytes; a larger block is sealed and opened in a thread, since that would hold the event loop up for milliseconds."""


@dataclass(frozen=True, slots=True)
class TierLimits:
    """Deadlines in seconds, above the tiers' own (disk 1 s, peers 250 ms), and bounds on counts.

    Attributes:
        find, block, store: for one call of a tier.
        drop: how long a writer waits for the drop in slow tiers; the peers' own bound is 100 ms.
        late_drop: how long the drop may take in all.
        close: for all stores under way when the node stops, and for each tier to close.
        arrival: for an entry that another node may bring, while the quota is short.
        flush: for a service to take what still waits for it when the node stops.
        patience: how long a service may take, look-up and block together, while it is unknown how long GitHub takes.
        impatience: the least that a service is given for each, however fast GitHub is.
        usual: what a near tier takes for a block; after it, the next tier that should have the block is asked too.
        background: calls to tiers under way at once; beyond it, an entry is kept in memory alone.
        places: blocks in memory that members can be given.
    """

    find: float = 1.5
    block: float = 3.0
    store: float = 30.0
    drop: float = 0.25
    late_drop: float = 30.0
    close: float = 2.0
    arrival: float = 5.0
    flush: float = 6.0
    patience: float = 0.3
    impatience: float = 0.05
    usual: float = 0.05
    background: int = 1024
    places: int = 65_536


MEMORY = "memory"
"""The `detail` of `Cache-Status` for a hit in memory."""
Place = tuple[str, bytes]
"""Where a block should be: the `detail` of its tier, and its CID."""


@dataclass(frozen=True, slots=True)
class Found:
    """A pointer, the tier that returned it (None is memory), and the seconds that it may take for the block."""

    pointer: Pointer
    tier: Tier | None
    seconds: float = math.inf

    @property
    def place(self) -> Place:
        """The place of its block."""
        return _detail(self.tier), self.pointer.cid


@dataclass(frozen=True, slots=True)
class Opened:
    """A block, the tier that had it (None is memory), and its sealed bytes unless that was memory."""

    block: Block
    tier: Tier | None
    sealed: bytes | None

    @property
    def detail(self) -> str:
        """The `detail` of `Cache-Status` for a hit there."""
        return _detail(self.tier)


def _detail(tier: Tier | None) -> str:
    return tier.backend.detail if tier else MEMORY


def _on_time() -> None:
    """Take no note of a late answer."""


def _far(tier: Tier) -> float:
    return tier.backend.look_up if tier.backend.look_up >= NEAR else 0.0


class Library:
    """Memory in front of the other tiers.

    Args:
        memory, tiers: where entries are.
        keyring: opens and seals blocks.
        verified: only what this node proved itself is fresh; entries of other tiers are candidates for proof.
        bases: the upstream's own URLs; a pointer of another tier whose `Link` leads elsewhere is ignored.
        clock: Unix seconds.
        limits: how long tiers may take, and how much.
        failed: called with each failure of a tier for the ledger: ``disk_timeout``, ``peer_error``, ``peer_block``, ...
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
        self.remotes: list[Remote] = []
        """The tiers behind a service."""
        self._late: dict[Tier, Callable[[], None]] = {}
        self.mount(tiers)
        self.guard = Guard(failed)
        self.verified = verified
        self._bases = bases
        self._clock = clock
        self._limits = limits
        self._failed = failed
        self._tombstones = Tombstones()
        self.watchers: list[Callable[[Collection[bytes], bytes | None], None]] = []
        """Called with the topics and the scope (None is all) of each drop."""
        self._places: OrderedDict[bytes, tuple[bytes, bytes]] = OrderedDict()
        self._background: set[asyncio.Task[None]] = set()
        self._openings: set[asyncio.Task[None]] = set()

    def mount(self, tiers: Iterable[Tier]) -> None:
        """Use these tiers instead of those before: this host's first among the near ones, then the cheapest look-up."""
        self.tiers = tuple(sorted(tiers, key=lambda tier: (_far(tier), tier.backend.reach, tier.backend.look_up)))
        self.remotes = [tier for tier in self.tiers if isinstance(tier, Remote)]
        self._late = {tier: tier.late if isinstance(tier, Remote) else _on_time for tier in self.tiers}

    @property
    def store(self) -> Store | None:
        """The tier that keeps blocks on this host, if there is one."""
        return next((tier for tier in self.tiers if isinstance(tier, Store)), None)

    # Finding

    async def find(
        self, wanted: Wanted, lifetime: float, without: Collection[Place] = (), patience: float | None = None
    ) -> list[Found]:
        """Return the pointers of a resource, memory's first, but those whose `place` is in `without`.

        No more tiers are asked once there is a fresh one for the caller's scope. Pointers of other tiers are `clamped`;
        `lifetime` is this node's own for the resource, in seconds. `patience` is how long GitHub would take: a tier
        that any fleet shares is not waited for any longer.
        """
        found = [Found(entry.pointer, None) for entry in self.memory.find(wanted.name)]
        found = [f for f in found if f.place not in without]

        def enough(found: list[Found]) -> bool:
            now = self._clock()
            return any(f.pointer.scope == wanted.scope and f.pointer.fresh(now) for f in found)

        if self.tiers and not enough(found):
            far = self._limits.patience if patience is None else max(patience, self._limits.impatience)
            ask = [(t.backend.look_up, partial(self._find, t, wanted, lifetime, without, far)) for t in self.tiers]
            for more in await hedged(ask, enough, self._limits.usual):
                found += more
                if enough(found):  # what this host has is not displaced by what a member claims
                    break
        return found

    async def _find(
        self, tier: Tier, wanted: Wanted, lifetime: float, without: Collection[Place], patience: float
    ) -> list[Found]:
        found: list[Found] = []
        left = patience if tier.backend.reach is Reach.ANYWHERE else math.inf  # for the look-up and the block together
        time = asyncio.get_running_loop().time
        for name in (wanted.name, *wanted.older):
            began, seconds = time(), min(left, self._limits.find)
            pointers = await self.guard(tier.backend.detail, tier.find(name), (), seconds, self._late[tier])
            left = max(self._limits.impatience, left - (time() - began))
            valid = (p for p in pointers if p.link is None or links.within(p.link, self._bases))
            now = self._clock()
            more = (clamped(p, wanted.topics, lifetime, now, self._dropped(tier, wanted, p)) for p in valid)
            found += [f for f in (Found(pointer, tier, left) for pointer in more) if f.place not in without]
        return found

    def _dropped(self, tier: Tier, wanted: Wanted, pointer: Pointer) -> float:
        """Return since when an entry needs a new proof; where no drop reaches it, it does, unless it never changes."""
        unseen = not tier.backend.droppable and pointer.lifetime != Lifetime.IMMUTABLE
        return math.inf if self.verified or unseen else self.dropped(wanted)

    async def arrival(self, name: bytes) -> bool:
        """Wait for an entry of a resource that another node may bring within seconds; return whether one came."""
        for tier in self.tiers:
            if isinstance(tier, Awaited):
                return await self.guard(tier.backend.detail, tier.arrival(name), False, self._limits.arrival)
        return False

    async def open(self, pointer: Pointer, found: Iterable[Found]) -> Opened | None:
        """Return the block of `pointer`; None when no tier has it any more.

        Any tier of `found` with the same CID will do, the nearest first: the CID vouches for the bytes.
        """
        by_tier = {f.tier: f for f in reversed([*found]) if f.pointer.cid == pointer.cid}
        nearest = sorted(by_tier.values(), key=lambda f: f.tier.backend.reach if f.tier else 0)
        calls = [(self._limits.usual, partial(self._open, f)) for f in nearest]
        opened = await hedged(calls, lambda opened: opened is not None)
        return next((each for each in opened if each is not None), None)

    async def _open(self, found: Found) -> Opened | None:
        pointer, tier = found.pointer, found.tier
        if tier is None:
            entry = self.memory.get((pointer.name, pointer.scope))
            return Opened(entry.block, None, None) if entry and entry.pointer.cid == pointer.cid else None
        seconds = min(found.seconds, self._limits.block)
        sealed = await self.guard(tier.backend.detail, tier.block(pointer), None, seconds, self._late[tier])
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
        """Return the block's CID and its sealed bytes."""
        if len(block.body) < LARGE:
            return codec.seal_block(self.keyring, block)
        return await asyncio.to_thread(codec.seal_block, self.keyring, block)

    def sealed(self, cid: bytes) -> bytes | None:
        """Return a block of memory, sealed again (sealing is deterministic), for a peer; None without one."""
        entry = self.memory.get(self._places.get(cid, (b"", b"")))
        if entry is None or entry.pointer.cid != cid:
            return None
        # Each secret makes another block: it may be from before a rotation.
        again = (codec.seal_block(keyring, entry.block) for keyring in self.keyring.each())
        return next((sealed for made, sealed in again if made == cid), None)

    def epoch(self, topics: Collection[bytes], scope: bytes) -> int:
        """Return a number that grows with each drop of one of `topics` in `scope`; 0 before the first.

        A body asked for before a write and received after it must not be kept: it may be the state before.
        """
        return self._tombstones.epoch(topics, scope)

    def dropped(self, wanted: Wanted) -> float:
        """Return when `wanted` was last dropped, in Unix seconds: what was proved before needs a new proof."""
        return self._tombstones.since((*wanted.topics, wanted.name), wanted.scope)

    def stands(self, pointer: Pointer) -> bool:
        """Return whether none of its topics was dropped since GitHub vouched for it."""
        return pointer.proved_at > self._tombstones.since((*pointer.topics, pointer.name), pointer.scope)

    def keep(self, entry: Entry, sealed: bytes, *, exclude: Tier | None = None) -> None:
        """Put an entry into memory now, and start to store it in the other tiers but `exclude`, where it came from.

        Beyond `TierLimits.background` only memory has it.
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
        """Store a member's block on this host, for other members; its CID is verified, its seal when it is read."""
        for tier in self.tiers:
            if tier.backend.reach is Reach.HOST:
                self._store(tier, pointer, sealed)

    def _store(self, tier: Tier, pointer: Pointer, sealed: bytes) -> None:
        if not (tier.backend.droppable or pointer.provable):
            return  # what such a tier has is served after a proof alone
        if len(self._background) < self._limits.background:
            self._spawn(self.guard(tier.backend.detail, tier.store(pointer, sealed), None, self._limits.store))

    # Forgetting

    def invalidate(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        """Drop from memory what was proved by `until`; answers that are being fetched now are not kept."""
        self._tombstones.mark(topics, scope, min(until, self._clock()))
        self.memory.drop(topics, scope, until)
        for watcher in self.watchers:
            watcher(topics, scope)

    def require_proof(self, name: bytes, scope: bytes) -> None:
        """Let this one resource need a new proof in this scope, whichever tier has it: GitHub refused it."""
        self._tombstones.mark((name,), scope, self._clock())
        self.memory.discard((name, scope))

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, *, local: bool = False) -> None:
        """Drop in all tiers, or with `local` on this host alone; return when done, or after `TierLimits.drop`."""
        dropping = self._drop(topics, scope, local=local)
        if dropping:
            await asyncio.wait(dropping, timeout=self._limits.drop)
        self._tombstones.extend(topics, scope, self._clock())

    def drop_soon(self, topics: Collection[bytes], scope: bytes | None, until: float = math.inf) -> None:
        """Drop on this host for a peer's write: in memory at once, in the other tiers as soon as they can.

        `until` is when it happened, in Unix seconds: what was proved since then stays.
        """
        self._drop(topics, scope, until, local=True)

    def _drop(
        self, topics: Collection[bytes], scope: bytes | None, until: float = math.inf, *, local: bool
    ) -> list[asyncio.Task[None]]:
        self.invalidate(topics, scope, until)
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
        """Wait for what is being stored, for `TierLimits.close` at most, then cancel it."""
        for opening in self._openings:
            opening.cancel()
        if self._background:
            _, late = await asyncio.wait(self._background, timeout=self._limits.close)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def start(self) -> None:
        """Have the services that keep entries connected, beside the first requests."""
        for tier in self.remotes:
            opening = self._spawn(self.guard(tier.backend.detail, tier.open(), None, self._limits.store))
            self._openings.add(opening)
            opening.add_done_callback(self._openings.discard)

    async def close(self) -> None:
        """Flush, then close the tiers, side by side."""
        await self.flush()

        def seconds(tier: Tier) -> float:
            return self._limits.flush if isinstance(tier, Remote) else self._limits.close

        await asyncio.gather(
            *(self.guard(tier.backend.detail, tier.close(), None, seconds(tier)) for tier in self.tiers)
        )
