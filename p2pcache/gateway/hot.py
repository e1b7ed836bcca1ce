"""The memory-hit path: an answer given before stands ready under the very header values that asked for it.

Nothing here waits, allocates a task or decides anything: the engine decided when the answer was first given, and what
stands here is void as soon as its entry is no longer the memory's, or no longer fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from p2pcache.cache.buckets import Buckets
from p2pcache.cache.decide import Rule
from p2pcache.cache.entry import Entry
from p2pcache.cache.memory import Memory
from p2pcache.cache.wanted import Wanted
from p2pcache.gateway.ledger import Ledger, RouteCount
from p2pcache.gateway.respond import Shown

MAX_PREPARED = 4096
Key = tuple[bytes | None, ...]

_KEYED = {b"host": 1, b"authorization": 2, b"accept": 3, b"x-github-api-version": 4, b"accept-encoding": 5}
_HARMLESS = frozenset(
    {b"user-agent", b"connection", b"accept-language", b"content-type", b"time-zone", b"sec-fetch-mode"}
)
"""Fields clients send with every read that change no answer; one not known here takes the long way."""


@dataclass(slots=True)
class Prepared:
    """A rendered answer; `head` ends before what changes with time."""

    entry: Entry
    wanted: Wanted
    route: RouteCount
    head: bytes
    body: bytes


def key_of(url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Key | None:
    """All of a request that an answer may depend on; None when it holds something that needs thought."""
    key: list[bytes | None] = [url, None, None, None, None, None]
    for name, value in headers:
        place = _KEYED.get(name)
        if place is None:
            if name not in _HARMLESS:
                return None
        elif key[place] is not None:
            return None
        else:
            key[place] = value
    return tuple(key)


class Hot:
    """Prepared answers by request key."""

    def __init__(self, memory: Memory, buckets: Buckets, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._memory = memory
        self._buckets = buckets
        self._ledger = ledger
        self._clock = clock
        self._prepared: dict[Key, Prepared] = {}

    def remember(self, key: Key, entry: Entry, wanted: Wanted, shown: Shown) -> None:
        """Keep the answer to a memory hit ready for its next request."""
        if len(self._prepared) >= MAX_PREPARED:
            self._prepared.clear()  # cheaper than an order of use on every hit, and rebuilt by as many requests
        head = b"".join((b"HTTP/1.1 200 OK\r\n", *(b"%b: %b\r\n" % line for line in shown.lines)))
        route = self._ledger.route(wanted.read.route)
        self._prepared[key] = Prepared(entry, wanted, route, head, shown.body)

    def answer(self, url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
        """Head and body of the answer, or None for the long way."""
        key = key_of(url, headers)
        prepared = self._prepared.get(key) if key else None
        if prepared is None or key is None:
            return None
        entry = prepared.entry
        pointer = entry.pointer
        now = self._clock()
        if now >= pointer.expires_at or self._memory.get((pointer.name, pointer.scope)) is not entry:
            del self._prepared[key]
            return None
        wanted = prepared.wanted
        self._ledger.hit("memory", prepared.route, len(prepared.body), pointer.cost_ms)
        self._ledger.decided(Rule.FRESH)
        head = b"%bage: %d\r\n%bcache-status: p2pcache; hit; ttl=%d; detail=memory\r\n\r\n" % (
            prepared.head,
            now - pointer.proved_at,
            self._buckets.lines(wanted.bucket, wanted.quota),
            pointer.expires_at - now,
        )
        return head, prepared.body
