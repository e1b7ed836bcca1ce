"""What the peers announced: a miss that nobody holds costs no round trip, and a hit asks a known holder.

Announcements outlive `expires_at` (a stale body is worth a free proof), not the connection to their holder. Each
peer has a share of the room, so that one that floods evicts only its own announcements. Written by the swarm's
thread, read by the gateway's: a lock guards both.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from p2pcache.cache.entry import Pointer

_Key = tuple[bytes, bytes, bytes]  # name, scope, cid
_SAME = 1.0
"""Seconds that one proof may seem to differ after a few hops: hubs that took it for news would echo it for ever."""


@dataclass(slots=True)
class _Record:
    pointer: Pointer
    holders: set[str] = field(default_factory=set)
    announced: bool = False


class Directory:
    """Pointers by resource name, holders by block.

    Args:
        total: pointers of all peers together.
        share: pointers of one peer.
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
        self._peers: dict[str, OrderedDict[_Key, None]] = {}
        self._dropped: OrderedDict[tuple[bytes, bytes | None], float] = OrderedDict()
        self._drops = drops

    def __len__(self) -> int:
        return len(self._records)

    def find(self, name: bytes) -> list[Pointer]:
        """All pointers for a resource, the latest proved first."""
        with self._lock:
            found = [self._records[key].pointer for key in self._names.get(name, ())]
        return sorted(found, key=lambda pointer: pointer.proved_at, reverse=True)

    def holders(self, cid: bytes) -> set[str]:
        """Peers that said they can deliver a block."""
        with self._lock:
            return set().union(*(self._records[key].holders for key in self._blocks.get(cid, ())))

    def lookup(self, cid: bytes) -> Pointer | None:
        """Any pointer to a block: its size, for whoever knows only the name."""
        with self._lock:
            for key in self._blocks.get(cid, ()):
                return self._records[key].pointer
        return None

    def pointers(self) -> list[Pointer]:
        """Everything, the latest announced first: what a hub can deliver."""
        with self._lock:
            return [record.pointer for record in reversed(self._records.values())]

    def announced(self, peer: str) -> int:
        """How many pointers stand to a peer's name."""
        return len(self._peers.get(peer, ()))

    def add(self, pointer: Pointer, peer: str, *, announced: bool = True) -> bool:
        """`peer` can deliver what `pointer` names; True when that is news, not only one more holder.

        What was learned otherwise (from who gave up a lease) is still news when it is `announced`.
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
            record.holders.add(peer)
            self._records.move_to_end(key)
            theirs = self._peers.setdefault(peer, OrderedDict())
            theirs[key] = None
            theirs.move_to_end(key)
            self._bound(theirs, peer)
            return news

    def remove(self, cid: bytes, peer: str) -> None:
        """`peer` does not have that block after all."""
        with self._lock:
            for key in list(self._blocks.get(cid, ())):
                self._release(key, peer)

    def remove_peer(self, peer: str) -> None:
        """The connection to `peer` is gone."""
        with self._lock:
            for key in list(self._peers.get(peer, ())):
                self._release(key, peer)
            self._peers.pop(peer, None)

    def drop(self, topics: Collection[bytes], scope: bytes | None, at: float) -> None:
        """Forget what carries one of `topics` and was proved before `at`, now and when it is announced again."""
        with self._lock:
            for topic in topics:
                self._dropped[topic, scope] = max(at, self._dropped.get((topic, scope), 0.0))
                self._dropped.move_to_end((topic, scope))
                for key in list(self._topics.get(topic, ())):
                    pointer = self._records[key].pointer
                    if pointer.proved_at <= at and scope in (None, pointer.scope):
                        self._forget(key)
            while len(self._dropped) > self._drops:
                self._dropped.popitem(last=False)

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

    def _bound(self, theirs: OrderedDict[_Key, None], peer: str) -> None:
        while len(theirs) > self._share:
            self._release(next(iter(theirs)), peer)
        while len(self._records) > self._total:
            self._forget(next(iter(self._records)))

    def _release(self, key: _Key, peer: str) -> None:
        theirs = self._peers.get(peer)
        if theirs is not None:
            theirs.pop(key, None)
        record = self._records[key]
        record.holders.discard(peer)
        if not record.holders:
            self._forget(key)

    def _forget(self, key: _Key) -> None:
        record = self._records.pop(key)
        for peer in record.holders:
            self._peers[peer].pop(key, None)
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
