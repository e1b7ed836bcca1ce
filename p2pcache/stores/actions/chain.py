"""What a node knows of a ref's chain of packs: what the newest one has, what it lacks, and what to write next."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from p2pcache.bounded import Bounded
from p2pcache.cache.entry import Pointer
from p2pcache.stores.actions.packs import MAX_ENTRIES, ROOM, Pack, PackedEntry, packed_size
from p2pcache.stores.actions.shelf import Place, Shelf

FOLD = 256 << 10
"""Bytes that a pack adds to its base; with more, it becomes a base itself."""
LARGEST_ENTRY = 512 << 10
"""Bytes of a block; a larger one would take the room of many."""
KEPT_SECONDS = 7 * 86_400.0
"""An entry that GitHub vouched for no later than that ago is left out of a new base."""
MOST_SEEN = 1024
MOST_AUTHORS = 256
MOST_BASES = 8

Id = tuple[bytes, bytes]
"""The name and the CID of an entry: whichever scope it is of, it can be proved for any other."""


class Chain:
    """A node's view of one chain, and its part in it.

    Args:
        author: its own mark in packs, 8 random bytes.
        clock: Unix seconds.

    Attributes:
        shelf: the entries.
    """

    def __init__(self, author: bytes, clock: Callable[[], float]) -> None:
        self.shelf = Shelf()
        self._author = author
        self._clock = clock
        self._authors: Bounded[bytes, None] = Bounded(MOST_AUTHORS)
        self._authors[author] = None
        self._seen: Bounded[str, None] = Bounded(MOST_SEEN)
        self._bases: Bounded[str, frozenset[Id]] = Bounded(MOST_BASES)
        self._base: str | None = None
        self._covered: frozenset[Id] = frozenset()
        self._own: dict[Place, None] = {}
        self._news: set[Place] = set()

    @property
    def authors(self) -> int:
        """The number of nodes that wrote packs which this one has seen, and itself."""
        return len(self._authors)

    @property
    def news(self) -> int:
        """The number of entries that GitHub vouched for to this node and the newest pack lacks."""
        return len(self._news)

    @property
    def worth_leaving(self) -> bool:
        """Whether the news is worth a pack when the job ends: three entries, or one in twenty of all."""
        return self.news >= 3 or (self.news > 0 and self.news * 20 >= len(self.shelf))

    def note(self, pointer: Pointer, sealed: bytes) -> None:
        """Keep an entry that GitHub vouched for to this node, for the next pack."""
        if len(sealed) > LARGEST_ENTRY or not self.shelf.put(pointer, sealed):
            return
        place = pointer.name, pointer.scope
        self._own[place] = None
        if _id(pointer) not in self._covered:
            self._news.add(place)

    def seen(self, key: str) -> bool:
        """Return whether the pack of this key was learnt, or refused."""
        return key in self._seen

    def refuse(self, key: str) -> None:
        """Remember a key under which there is no pack of this fleet."""
        self._seen[key] = None

    def lacks(self, found: Pack) -> str | None:
        """Return the key of a pack's base where that was not learnt yet."""
        return found.base if found.base not in self._bases else None

    def learn(self, key: str, found: Pack, *, head: bool) -> None:
        """Take over the entries of a pack; with `head`, it is the newest of this chain.

        A pack that is no head is of another ref: its base serves as the first one of this chain.
        """
        self._seen[key] = None
        self._authors[found.author] = None
        ids = self._take(found)
        if found.base is None:
            self._bases[key] = ids
        base = found.base or key
        if head:
            self._covered = ids | self._bases.get(base, frozenset())
        if base in self._bases and (head or self._base is None):
            self._base = base
        elif head:
            self._base = None
        self._recount()

    def learn_base(self, key: str, found: Pack) -> None:
        """Take over the entries of a pack that another one names as its base."""
        self._seen[key] = None
        self._bases[key] = self._take(found)

    def compose(self) -> Pack:
        """Return the pack to write now: what is known beyond the base, or everything as a new base."""
        if self._base is not None:
            known = self._bases[self._base]
            beyond = self._distinct(entry for entry in self.shelf if _id(entry.pointer) not in known)
            if sum(map(packed_size, beyond)) <= FOLD:
                return Pack(self._base, self._author, beyond)
        chosen = tuple(self._most_useful())
        pack = Pack(None, self._author, chosen)
        packed = _ids(pack)
        for place in [*self._news]:
            if (pointer := self.shelf.get(place)) is None or _id(pointer) not in packed:  # news after every pack, else
                del self._own[place]
                self._news.discard(place)
        return pack

    def wrote(self, key: str, made: Pack) -> None:
        """Take note that a pack was written: it is the newest, until another one is seen."""
        self._seen[key] = None
        ids = _ids(made)
        if made.base is None:
            self._bases[key] = ids
            self._base = key
        self._covered = ids | self._bases.get(made.base or key, frozenset())
        self._recount()

    def _most_useful(self) -> Iterable[PackedEntry]:
        """Yield what fits into a pack: what was vouched for in this job first, then the newest."""
        oldest = self._clock() - KEPT_SECONDS
        recent = (entry for entry in self.shelf if entry.pointer.proved_at > oldest)
        room = ROOM
        for entry in self._distinct(recent)[:MAX_ENTRIES]:
            room -= packed_size(entry)
            if room < 0:
                return
            yield entry

    def _distinct(self, entries: Iterable[PackedEntry]) -> tuple[PackedEntry, ...]:
        """Return one entry for each resource and block: what was vouched for in this job first, then the newest."""
        order = sorted(entries, key=lambda e: (not self._is_own(e.pointer), -e.pointer.proved_at))
        first: dict[Id, PackedEntry] = {}
        for entry in order:
            first.setdefault(_id(entry.pointer), entry)
        return tuple(first.values())

    def _is_own(self, pointer: Pointer) -> bool:
        return (pointer.name, pointer.scope) in self._own

    def _take(self, found: Pack) -> frozenset[Id]:
        now = self._clock()
        for pointer, sealed in found.entries:
            if pointer.proved_at > now:  # a clock ahead of this one must not keep newer entries out
                pointer = msgspec.structs.replace(pointer, proved_at=now)
            self.shelf.put(pointer, sealed)
        return _ids(found)

    def _recount(self) -> None:
        kept = {place: pointer for place in self._own if (pointer := self.shelf.get(place)) is not None}
        self._own = dict.fromkeys(kept)
        self._news = {place for place, pointer in kept.items() if _id(pointer) not in self._covered}


def _id(pointer: Pointer) -> Id:
    return pointer.name, pointer.cid


def _ids(pack: Pack) -> frozenset[Id]:
    return frozenset(_id(entry.pointer) for entry in pack.entries)
