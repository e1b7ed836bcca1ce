"""The memory-hit path: an answer given before stands ready under the very header values that asked for it.

Nothing here waits, allocates a task or decides anything: the engine decided when the answer was first given, and what
stands here is void as soon as its entry is no longer the memory's, or no longer fresh.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from p2pcache.cache.buckets import Buckets
from p2pcache.cache.decide import Rule
from p2pcache.cache.entry import Entry, Pointer
from p2pcache.cache.memory import Memory
from p2pcache.cache.wanted import Wanted
from p2pcache.gateway.head import cache_status, render, status_line
from p2pcache.gateway.respond import Shown, without_body
from p2pcache.gateway.seen import Observer, Seen
from p2pcache.github.headers import OWN_FIELDS, VARYING
from p2pcache.ledger.ledger import Ledger, RouteCount

MAX_PREPARED = 4096
MAX_KEY = 4096
"""Bytes of a request's URL and header values that are worth keeping."""
Key = tuple[bytes | None, ...]
_HEAD = b"%bage: %d\r\n%b" + render([cache_status("hit", "ttl=%d", "detail=memory")]) + b"\r\n"
"""What stands ready, and what is of the moment: age, quota, time to live."""

_KEYED = {
    b"host": 1,
    b"authorization": 2,
    b"accept": 3,
    b"x-github-api-version": 4,
    b"accept-encoding": 5,
    b"if-none-match": 6,
}
_MEANT = frozenset(
    {
        b"cache-control",
        b"content-length",
        b"cookie",
        b"expect",
        b"if-match",
        b"if-modified-since",
        b"if-range",
        b"if-unmodified-since",
        b"pragma",
        b"range",
        b"te",
        b"traceparent",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-http-method-override",
    }
)
"""Fields that need thought; so do those on which GitHub's answer depends, and this node's own. No other changes one."""
_PREFIXES = tuple(prefix.encode() for prefix in (*VARYING, OWN_FIELDS))
_KEEP_ALIVE = frozenset({b"keep-alive", b"Keep-Alive"})
"""Of ``Connection``: what names no other field of the request."""


@dataclass(slots=True)
class Prepared:
    """A rendered answer. The body stays the memory's, so that what memory lets go of is gone.

    Attributes:
        pointer: of the entry it was made from.
        variant: where the body is among the entry's variants; None for the block's own.
        head: the answer up to what changes with time.
        tag: its validator, without its weakness; empty without one.
        unchanged: as `head`, of the 304 to a client that has this representation.
        bucket: whose quota, of which of GitHub's resources.
    """

    pointer: Pointer
    variant: object
    route: RouteCount
    head: bytes
    tag: bytes
    unchanged: bytes
    bucket: tuple[str, str]


def key_of(url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Key | None:
    """All of a request that an answer may depend on; None when it holds something that needs thought.

    The last of it is the ``If-None-Match``, which decides whether the answer has a body.
    """
    key: list[bytes | None] = [url, None, None, None, None, None, None]
    for name, value in headers:
        place = _KEYED.get(name)
        if place is None:
            if name == b"connection":
                if value not in _KEEP_ALIVE:
                    return None
            elif name in _MEANT or name.startswith(_PREFIXES):
                return None
        elif key[place] is not None:
            return None
        else:
            key[place] = value
    return tuple(key)


class FastPath:
    """Prepared answers by request key."""

    def __init__(
        self,
        memory: Memory,
        buckets: Buckets,
        ledger: Ledger,
        clock: Callable[[], float],
        observers: tuple[Observer, ...] = (),
    ) -> None:
        self._memory = memory
        self._buckets = buckets
        self._ledger = ledger
        self._clock = clock
        self._prepared: dict[Key, Prepared] = {}
        self._observers = observers

    def remember(self, key: Key, entry: Entry, wanted: Wanted, shown: Shown) -> None:
        """Keep the answer to a memory hit ready for its next request, if its body is one that memory holds."""
        variant: object = None
        if shown.body is not entry.block.body:
            variant = next((name for name, body in entry.variants.items() if body is shown.body), None)
            if variant is None:
                return
        if sum(len(part) for part in key if part) > MAX_KEY:
            return
        if len(self._prepared) >= MAX_PREPARED:
            self._prepared.clear()  # cheaper than an order of use on every hit, and rebuilt by as many requests
        head = status_line(200) + render(shown.lines)
        unchanged = status_line(304) + render(without_body(shown.lines))
        tag = _strong(shown.etag.encode()) if shown.etag else b""
        route = self._ledger.route(wanted.read.route)
        bucket = wanted.bucket, wanted.quota
        self._prepared[*key[:-1], None] = Prepared(entry.pointer, variant, route, head, tag, unchanged, bucket)

    def program(self, kind: str) -> RouteCount:
        """Return the counters of a kind of program that was led here by name."""
        return self._ledger.program(kind)

    def clear(self) -> None:
        """Forget all prepared answers."""
        self._prepared.clear()

    def answer(self, url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
        """Head and body of the answer, or None for the long way."""
        began = time.monotonic() if self._observers else 0.0
        key = key_of(url, headers)
        if key is None:
            return None
        condition = key[-1]
        prepared = self._prepared.get(key if condition is None else (*key[:-1], None))
        if prepared is None:
            return None
        if condition is not None and (not prepared.tag or _strong(condition) != prepared.tag):
            return None
        pointer = prepared.pointer
        now = self._clock()
        entry = self._memory.get((pointer.name, pointer.scope))
        if entry is None or entry.pointer is not pointer or not pointer.fresh(now):
            del self._prepared[*key[:-1], None]
            return None
        body = entry.block.body if prepared.variant is None else entry.variants[prepared.variant]
        self._ledger.hit("memory", prepared.route, len(body), pointer.cost_ms)
        self._ledger.decided(Rule.FRESH)
        head = _HEAD % (
            prepared.head if condition is None else prepared.unchanged,
            max(0, now - pointer.proved_at),
            self._buckets.lines(*prepared.bucket),
            pointer.expires_at - now,
        )
        if self._observers:
            ended = time.monotonic()
            status = 200 if condition is None else 304
            found = Seen(prepared.route.route, Rule.FRESH, "memory", status, began, ended, ended)
            for observe in self._observers:
                observe(found)
        return head, body if condition is None else b""


def _strong(tag: bytes) -> bytes:
    """Return a tag to be compared weakly (RFC 9110 section 8.8.3.2)."""
    return tag.strip().removeprefix(b"W/")
