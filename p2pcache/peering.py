"""What the swarm asks of this node and sends it: the glue between `swarm` and `cache`, which do not know each other."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from p2pcache.bounded import Bounded
from p2pcache.cache.buckets import Buckets
from p2pcache.cache.entry import Pointer
from p2pcache.cache.library import Library
from p2pcache.cache.sealing import Keyring, SealedKind, SealError
from p2pcache.cache.tiers import Opening, Tier
from p2pcache.github.quota import Bucket

log = logging.getLogger("p2pcache")

_SCOPE = re.compile(r"[A-Za-z0-9][ !#-%(-;=?-_a-{}~]{0,255}")
"""A clear scope of a member's, as far as it may be shown in reports and labels."""

SNAPSHOT = 8192
"""Pointers of yesterday's disk that a joining peer is sent."""
MAX_ADOPTED = 8192
"""Pointers that a hub sends to joiners beside its memory; the swarm's snapshot has room for as many."""


class Peering:
    """Implements `swarm.BlockStore` and `swarm.SwarmEvents`.

    Args:
        library: what memory and the other tiers hold.
        buckets: learns what members saw.
        keyring: opens it.
        heard: called with the clear scope and the bucket, where they were news.
    """

    def __init__(
        self,
        library: Library,
        buckets: Buckets,
        keyring: Keyring,
        heard: Callable[[str, Bucket], None],
    ) -> None:
        self._library = library
        self._buckets = buckets
        self._keyring = keyring
        self._heard = heard
        self._earlier: Sequence[Pointer] = ()
        self._adopted: Bounded[tuple[bytes, bytes], Pointer] = Bounded(MAX_ADOPTED)

    async def load_earlier(self) -> None:
        """Read what the disk holds of earlier nodes, to send it to joiners."""
        if (store := self._library.store) is not None:
            self._earlier = await store.pointers(SNAPSHOT)

    async def sealed(self, cid: bytes) -> bytes | None:
        """Return a block for a peer: from memory, else from the disk."""
        if (sealed := self._library.sealed(cid)) is not None or self._library.store is None:
            return sealed
        return await self._library.store.sealed(cid)

    async def keep(self, pointer: Pointer, sealed: bytes) -> None:
        """Store, on a hub, what a member announced; it is sent to members that join when its maker is long gone."""
        self._library.adopt(pointer, sealed)
        self._adopted[pointer.name, pointer.scope] = pointer

    def pointers(self) -> Iterable[Pointer]:
        """Yield what this node holds and nobody dropped: memory, what a hub kept, and what the disk held at start."""
        yield from list(self._library.memory.pointers())
        for pointer in (*reversed(self._adopted.values()), *self._earlier):
            if self._library.stands(pointer):
                yield pointer

    def dropped(self, topics: Collection[bytes], scope: bytes | None, until: float) -> None:
        """Drop what a peer's write may have changed, perhaps a while ago, unless it is newer."""
        self._library.drop_soon(topics, scope, until)

    def quota(self, scope: bytes, state: bytes) -> None:
        """Learn a bucket that some member saw; what does not open or decode is ignored."""
        with contextlib.suppress(SealError, msgspec.DecodeError):
            opened = self._keyring.open(state, SealedKind.QUOTA, scope)
            clear = msgspec.msgpack.decode(opened, type=tuple[str, str, int, int, int])
            bucket = Bucket(*clear[1:])
            if _SCOPE.fullmatch(clear[0]) and self._buckets.learn(clear[0], bucket):
                self._heard(clear[0], bucket)

    def seal_quota(self, scope: str, bucket: Bucket) -> tuple[bytes, bytes]:
        """Return a bucket for the peers, readable to members alone: the name they store it under, and the sealed state.

        Members keep the newest state of each name: a bucket of another resource must not take its place.
        """
        name = self._keyring.scope_name(f"{scope} {bucket.resource}")
        fields = (scope, bucket.resource, bucket.limit, bucket.remaining, bucket.reset)
        return name, self._keyring.seal(msgspec.msgpack.encode(fields), SealedKind.QUOTA, name)

    @staticmethod
    def warn(message: str) -> None:
        """Log one sentence of the swarm."""
        log.warning("%s", message)


def open_tier(opening: Opening) -> Tier | None:
    """Return the members as a tier (see `backends.p2p`), None for a node that works alone."""
    return opening.peers
