"""A swarm in memory, in place of `p2pcache.swarm`, for tests of the cache without a network."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Collection, Sequence

from p2pcache.backends.p2p import BACKEND
from p2pcache.cache.entry import Pointer
from p2pcache.cache.leases import LocalLeases
from p2pcache.cache.tiers import Freed, Lease

DEADLINE = 0.25
"""Seconds to wait for a peer's block, as in the real swarm."""

PATIENCE = 30.0

Key = tuple[bytes, bytes]


class MemorySwarm:
    """Peers that see each other's announcements immediately.

    Attributes:
        deadline: seconds to wait for a block.
        arbiter: grants the leases; a caller waits for one at most `patience` seconds.
    """

    def __init__(self, deadline: float = DEADLINE, patience: float = PATIENCE) -> None:
        self.deadline = deadline
        self.peers: list[MemoryPeer] = []
        self.arbiter = MemoryArbiter(patience)

    def join(self, name: str = "") -> MemoryPeer:
        """Add a peer, which sees the announcements of the others immediately."""
        peer = MemoryPeer(self, name or f"peer-{len(self.peers) + 1}")
        self.peers.append(peer)
        return peer


class MemoryPeer:
    """One node's handle on the swarm, with faults for tests.

    Attributes:
        tier: an implementation of `p2pcache.cache.tiers.Tier`.
        leases: an implementation of `p2pcache.cache.tiers.Leases`.
        delay: seconds before it sends a block.
        corrupt: whether it flips a bit of each sent block.
        moved: the number of sent blocks.
        dropped: called with the invalidations of other peers.
    """

    def __init__(self, swarm: MemorySwarm, name: str) -> None:
        self.name = name
        self.alive = True
        self.noticed = True
        self.delay = 0.0
        self.corrupt = False
        self.moved = 0
        self.dropped: Callable[[Collection[bytes], bytes | None], None] = lambda _topics, _scope: None
        self.pointers: dict[Key, Pointer] = {}
        self.blocks: dict[bytes, bytes] = {}
        self.tier = MemoryTier(swarm, self)
        self.leases = MemoryLeases(swarm, self)

    def die(self, *, noticed: bool = True) -> None:
        """Stop answering; unless `noticed`, its announcements stay in the others' directories, as after SIGSTOP."""
        self.alive, self.noticed = False, noticed
        self.leases.forsake()

    def revive(self) -> None:
        """Answer again, with all blocks."""
        self.alive = self.noticed = True

    async def give(self, cid: bytes) -> bytes:
        """Return a block for another peer; never returns while this peer is dead."""
        if not self.alive:
            await asyncio.Event().wait()
        await asyncio.sleep(self.delay)
        self.moved += 1
        block = self.blocks[cid]
        return bytes([block[0] ^ 1]) + block[1:] if self.corrupt else block


class MemoryTier:
    """The tier of one peer: the announcements and blocks of the others."""

    backend = BACKEND

    def __init__(self, swarm: MemorySwarm, me: MemoryPeer) -> None:
        self._swarm = swarm
        self._me = me

    def _others(self) -> list[MemoryPeer]:
        return [peer for peer in self._swarm.peers if peer is not self._me and (peer.alive or not peer.noticed)]

    async def find(self, resource: bytes) -> Sequence[Pointer]:
        """Return the newest announced pointer of each scope."""
        found: dict[bytes, Pointer] = {}
        for peer in self._others():
            for (name, scope), pointer in peer.pointers.items():
                if name == resource and (scope not in found or found[scope].proved_at < pointer.proved_at):
                    found[scope] = pointer
        return list(found.values())

    async def block(self, pointer: Pointer) -> bytes | None:
        """Return the block from the fastest peer that announced it, or None at the deadline."""
        holders = (peer for peer in self._others() if pointer.cid in peer.blocks)
        holder = min(holders, key=lambda peer: peer.delay, default=None)
        if holder is None:
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._swarm.deadline):
                return await holder.give(pointer.cid)
        return None

    async def store(self, pointer: Pointer, sealed: bytes) -> None:
        """Store a pointer and block, and announce them."""
        self._me.pointers[pointer.name, pointer.scope] = pointer
        self._me.blocks[pointer.cid] = sealed

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        """Drop the pointers with these topics everywhere."""
        gone = set(topics)
        for peer in [self._me, *self._others()]:
            peer.pointers = {
                key: pointer
                for key, pointer in peer.pointers.items()
                if gone.isdisjoint(pointer.topics) or scope not in {None, pointer.scope} or pointer.proved_at > until
            }
        for peer in self._others():
            peer.dropped(topics, scope)

    async def close(self) -> None:
        """Nothing to do: what it holds is the swarm's."""


class MemoryLeases:
    """The leases as one peer sees them."""

    def __init__(self, swarm: MemorySwarm, me: MemoryPeer) -> None:
        self._arbiter = swarm.arbiter
        self._me = me

    async def acquire(self, resource: bytes, scope: bytes, *, again: bool = False) -> Lease[Pointer] | Freed[Pointer]:
        """See `p2pcache.cache.tiers.Leases`."""
        if again and self._arbiter.left.get((resource, scope), self) is None:
            return Freed()
        return await self._arbiter.acquire_for(self._me.name, resource, scope)

    def forsake(self) -> None:
        """Give up all leases of this peer, as its death does."""
        self._arbiter.gone(self._me.name)


class MemoryArbiter(LocalLeases[Pointer]):
    """The real arbiter for all peers, without messages between.

    Attributes:
        left: what the last holder of a resource left for its scope, as a peer that was freed remembers it.
    """

    def __init__(self, patience: float) -> None:
        super().__init__(patience=patience)
        self.left: dict[Key, Pointer | None] = {}

    async def acquire_for(self, peer: str, resource: bytes, scope: bytes) -> Lease[Pointer] | Freed[Pointer]:
        """See `p2pcache.cache.tiers.Leases`; what was left is found in the tier, not handed over."""
        got = await self._acquire(peer, resource, scope)
        if isinstance(got, Freed):
            self.left[resource, scope] = got.result
            return Freed()
        return got

    def gone(self, peer: str) -> None:
        """End all that `peer` holds or waits for."""
        self._rule(self._arbiter.gone({peer}, 0.0))
