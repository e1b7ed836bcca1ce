"""What the peers announced: a miss that none holds costs no round trip, and a hit asks a known holder.

Announcements outlive `expires_at` (a stale body is worth a free proof), not the connection to their holder. Room is
counted in bytes. Each peer has a share of it, and when there is no more the peer that takes most gives way, so one that
floods evicts only its own announcements. What a holder announces of a block's size counts for that holder
alone. Written by the swarm's thread, read by the gateway's: a lock guards both.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from p2pcache.bounded import Bounded
from p2pcache.cache.entry import Pointer

_Key = tuple[bytes, bytes, bytes]  # name, scope, cid
_SAME = 1.0
"""Seconds that one proof may seem to differ after a few hops: hubs that took it for news would echo it for ever."""


_ENTRY, _PER_TOPIC = 1_500, 330
"""About how many bytes a pointer takes here, with its places in the indexes."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A peer that can deliver a block of `size` bytes, by its own word if `announced`."""

    size: int
    announced: bool


@dataclass(slots=True)
class _Record:
    pointer: Pointer
    holders: dict[str, Holding] = field(default_factory=dict)
    announced: bool = False


def _room(pointer: Pointer) -> int:
    text = len(pointer.link or "") + len(pointer.etag or "") + len(pointer.last_modified or "")
    return _ENTRY + _PER_TOPIC * len(pointer.topics) + text


class Directory:
    """Pointers by resource name, holders by block.

    Args:
        total: bytes of all peers' pointers together.
        share: bytes of one peer's.
        drops: topics whose invalidation is remembered, so that an announcement already under way does not undo it.
    """

    def __init__(self, total: int, share: int, drops: int) -> None:
        self._total = total
        self._share = share
        self._lock = threading.Lock()
        self._records: OrderedDict[_Key, _Record] = OrderedDict()
        self._names: dict[bytes, set[_Key]] = {}
        self._blocks: dict[bytes, set[_Key]] = {}
        self._topics: dict[bytes, set[_Key]] = {}
        self._peers: dict[str, OrderedDict[_Key, int]] = {}
        self._taken: Counter[str] = Counter()
        self._dropped: Bounded[tuple[bytes, bytes | None], float] = Bounded(drops)

    def __len__(self) -> int:
        return len(self._records)

    def find(self, name: bytes) -> list[Pointer]:
        """Return all pointers for a resource, the latest proved first."""
        with self._lock:
            found = [self._records[key].pointer for key in self._names.get(name, ())]
        return sorted(found, key=lambda pointer: pointer.proved_at, reverse=True)

    def holders(self, cid: bytes) -> dict[str, Holding]:
        """Return the peers that can deliver a block; what a peer announced itself counts before hearsay."""
        found: dict[str, Holding] = {}
        with self._lock:
            for key in self._blocks.get(cid, ()):
                for peer, holding in self._records[key].holders.items():
                    if holding.announced or peer not in found:
                        found[peer] = holding
        return found

    def pointers(self) -> list[Pointer]:
        """Return everything, the latest announced first: what a hub can deliver."""
        with self._lock:
            return [record.pointer for record in reversed(self._records.values())]

    def announced(self, peer: str) -> int:
        """Return how many pointers a peer announced and still stands for."""
        return len(self._peers.get(peer, ()))

    def add(self, pointer: Pointer, peer: str, *, announced: bool = True) -> bool:
        """Note that `peer` can deliver what `pointer` names; return True when that is news, not only one more holder.

        What was learned otherwise (from a holder's release) is still news when it is `announced`.
        """
        key = (pointer.name, pointer.scope, pointer.cid)
        with self._lock:
            if self._was_dropped(pointer):
                return False
            record = self._records.get(key)
            renewed = record is None or pointer.proved_at > record.pointer.proved_at + _SAME
            if record is None:
                record = self._records[key] = _Record(pointer)
                self._index(key, pointer)
            elif renewed:
                self._unindex_topics(key, record.pointer)
                record.pointer = pointer
                self._index(key, pointer)
            news = renewed or (announced and not record.announced)
            record.announced = announced or (record.announced and not renewed)
            known = record.holders.get(peer)
            if announced or known is None or not known.announced:
                record.holders[peer] = Holding(pointer.size, announced)
            self._records.move_to_end(key)
            theirs = self._peers.setdefault(peer, OrderedDict())
            self._taken[peer] += _room(pointer) - theirs.get(key, 0)
            theirs[key] = _room(pointer)
            theirs.move_to_end(key)
            self._bound(theirs, peer)
            return news

    def remove(self, cid: bytes, peer: str) -> None:
        """Note that `peer` does not have that block after all."""
        with self._lock:
            for key in list(self._blocks.get(cid, ())):
                self._release(key, peer)

    def remove_peer(self, peer: str) -> None:
        """Forget what a peer announced that is gone."""
        with self._lock:
            for key in list(self._peers.get(peer, ())):
                self._release(key, peer)
            self._peers.pop(peer, None)
            del self._taken[peer]

    def drop(self, topics: Collection[bytes], scope: bytes | None, at: float) -> None:
        """Forget what carries one of `topics` and was proved before `at`, now and when it is announced again."""
        with self._lock:
            for topic in topics:
                self._dropped[topic, scope] = max(at, self._dropped.get((topic, scope), 0.0))
                for key in list(self._topics.get(topic, ())):
                    pointer = self._records[key].pointer
                    if pointer.proved_at <= at and scope in (None, pointer.scope):
                        self._forget(key)

    def _was_dropped(self, pointer: Pointer) -> bool:
        return any(
            pointer.proved_at <= self._dropped.get((topic, scope), 0.0)
            for topic in pointer.topics
            for scope in (None, pointer.scope)
        )

    def _index(self, key: _Key, pointer: Pointer) -> None:
        self._names.setdefault(pointer.name, set()).add(key)
        self._blocks.setdefault(pointer.cid, set()).add(key)
        for topic in pointer.topics:
            self._topics.setdefault(topic, set()).add(key)

    def _unindex_topics(self, key: _Key, pointer: Pointer) -> None:
        _discard(self._topics, pointer.topics, key)

    def _bound(self, theirs: OrderedDict[_Key, int], peer: str) -> None:
        while self._taken[peer] > self._share:
            self._release(next(iter(theirs)), peer)
        while self._taken.total() > self._total:
            greatest = max(self._taken, key=self._taken.__getitem__)
            self._release(next(iter(self._peers[greatest])), greatest)

    def _release(self, key: _Key, peer: str) -> None:
        self._let_go(key, peer)
        record = self._records[key]
        record.holders.pop(peer, None)
        if not record.holders:
            self._forget(key)

    def _let_go(self, key: _Key, peer: str) -> None:
        theirs = self._peers.get(peer)
        if theirs is not None:
            self._taken[peer] -= theirs.pop(key, 0)

    def _forget(self, key: _Key) -> None:
        record = self._records.pop(key)
        for peer in record.holders:
            self._let_go(key, peer)
        _discard(self._names, (key[0],), key)
        _discard(self._blocks, (key[2],), key)
        self._unindex_topics(key, record.pointer)


def _discard(index: dict[bytes, set[_Key]], entries: Iterable[bytes], key: _Key) -> None:
    for entry in entries:
        keys = index.get(entry)
        if keys is not None:
            keys.discard(key)
            if not keys:
                del index[entry]
