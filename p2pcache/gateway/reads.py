"""Cacheable reads: from the engine's answer to HTTP, counted, and made ready for the next one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from p2pcache import backends
from p2pcache.backends import Reach
from p2pcache.cache.answer import Cached, Forwarded, RateLimited, shown_rule
from p2pcache.cache.engine import Engine
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.upstream import UpstreamError
from p2pcache.cache.wanted import ScopePolicy, Wanted, want
from p2pcache.gateway import head
from p2pcache.gateway.caller_limits import ASK_RULE, RULE, CallerLimits
from p2pcache.gateway.exchange import Exchange
from p2pcache.gateway.fast_path import FastPath, key_of
from p2pcache.gateway.head import Line
from p2pcache.gateway.http_upstream import HttpUpstream
from p2pcache.gateway.relay import CODED, Relay, pass_lines, pump
from p2pcache.gateway.respond import (
    Shown,
    View,
    accepts_gzip,
    cache_status,
    forwarded,
    not_modified,
    show,
    weakened,
    with_github,
    without_body,
)
from p2pcache.gateway.routing import Upstreams
from p2pcache.github import links
from p2pcache.github.etag import TagKind, is_digest
from p2pcache.github.headers import is_json
from p2pcache.github.methods import SAFE
from p2pcache.github.request import Read, Request
from p2pcache.ledger.ledger import Ledger, RouteCount

log = logging.getLogger(__name__)

ETAG_RULE = b"p2pcache-etag-rule"
PEERS = b"p2pcache-peers"
LIFETIME = b"p2pcache-ttl"
"""Seconds that an answer stays fresh; of a hit ``Cache-Status`` has them too."""
WITHOUT_PEERS = ("memory", *(b.detail for b in backends.known() if b.reach is Reach.HOST), "coalesced")
"""Details of a hit that no peer was asked for."""


class Reads:
    """Answers classified reads."""

    def __init__(
        self,
        *,
        engine: Engine,
        keyring: Keyring,
        identity: ScopePolicy,
        ledger: Ledger,
        hot: FastPath,
        relay: Relay,
        upstream: HttpUpstream,
        upstreams: Upstreams,
        clock: Callable[[], float],
        peers_asked: Callable[[bytes, bytes, float], Sequence[str]],
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._identity = identity
        self._ledger = ledger
        self._hot = hot
        self._relay = relay
        self._upstream = upstream
        self._upstreams = upstreams
        self._clock = clock
        self._peers_asked = peers_asked

    async def answer(self, exchange: Exchange, read: Read, request: Request, base: str) -> None:
        """Answer a read from the cache or from GitHub; an error of the cache itself falls back to GitHub.

        Raises:
            UpstreamError: GitHub cannot be reached and nothing can stand in.
        """
        route = self._ledger.route(read.route)
        exchange.route = read.route
        began = time.monotonic()
        try:
            wanted = want(self._keyring, self._identity, read, request)
            answer = await self._engine.read(wanted)
            shown = self._show(exchange, wanted, answer, base) if isinstance(answer, Cached) else None
        except UpstreamError:
            self._ledger.miss(route)
            raise
        except Exception:  # fail open: whatever breaks inside the cache, the caller gets GitHub's answer
            log.exception("the cache failed; GitHub is asked directly")
            self._ledger.error("cache")
            self._ledger.miss(route)
            passed = await self._relay.ask(exchange, self._upstream.url(request), request.body, whole=True)
            status = head.cache_status("fwd=bypass", f"fwd-status={passed.status}", "detail=error")
            await self._relay.answer(exchange, passed, base, [status])
            return
        exchange.rule = shown_rule(answer)
        self._ledger.decided(exchange.rule)
        explained = []
        if ASK_RULE in exchange.headers:
            explained = [(RULE, exchange.rule.encode()), (ETAG_RULE, self._believed(wanted).encode())]
        if isinstance(answer, Cached) and shown is not None:
            self._count(wanted, answer, shown, route)
            if explained:
                explained.append((LIFETIME, b"%d" % max(0, answer.entry.pointer.expires_at - self._clock())))
            if explained and answer.hit not in WITHOUT_PEERS:
                # Only with an answer that the caller may read: it shows what others have.
                asked = self._peers_asked(wanted.name, answer.entry.pointer.cid, began)
                explained.append((PEERS, "; ".join(asked).encode("ascii", "replace")))
            await self._reply_cached(exchange, wanted, answer, shown, base, explained)
        elif isinstance(answer, Forwarded):
            await self._reply_forwarded(exchange, wanted, answer, base, route, explained)
        elif isinstance(answer, RateLimited):
            self._ledger.miss(route)
            await CallerLimits.refuse(exchange, answer)

    def _show(self, exchange: Exchange, wanted: Wanted, cached: Cached, base: str) -> Shown:
        view = View(base, accepts_gzip(exchange.headers.get("accept-encoding")))
        return show(cached.entry, view, self._tag(wanted, cached), self._engine.library.memory, self._upstreams)

    def _tag(self, wanted: Wanted, cached: Cached) -> str | None:
        """The ETag GitHub would show this caller: the one it gave, or the computed one for another token's entry."""
        pointer = cached.entry.pointer
        if cached.forwarded is not None or not pointer.etag or not is_digest(pointer.etag):
            return pointer.etag
        believed = self._engine.believed(wanted)
        tags = wanted.tags(cached.entry.block, pointer.vary, believed.empty_accept)
        if believed.state != "holds" or len(tags) != 1:
            return pointer.etag
        return f"W/{tags[0]}" if pointer.etag.startswith("W/") else tags[0]

    def _believed(self, wanted: Wanted) -> str:
        """In one line, what tags this read can be proved by."""
        match wanted.read.tag:
            case TagKind.HASH if not wanted.read.resource.digest:
                return f"{self._engine.believed(wanted).state} for {wanted.read.shape}"
            case TagKind.BLOB:
                return "not needed: the tag is the file's git object id"
            case _:
                return f"none: only GitHub's own validators, if any, for {wanted.read.shape}"

    def _count(self, wanted: Wanted, cached: Cached, shown: Shown, route: RouteCount) -> None:
        cost, size = cached.entry.pointer.cost_ms, len(shown.body)
        if cached.hit is None:
            self._ledger.miss(route)
        elif cached.hit == "revalidated":
            self._ledger.revalidated(route, size, cost, charged=not wanted.authorised)
        else:
            self._ledger.hit(cached.hit, route, size, cost)

    async def _reply_cached(
        self, exchange: Exchange, wanted: Wanted, cached: Cached, shown: Shown, base: str, explained: list[Line]
    ) -> None:
        entry, now = cached.entry, self._clock()
        if cached.pairs:  # GitHub was asked just now: its other fields are for this caller
            lines = with_github(shown, pass_lines(cached.pairs, base, self._upstreams))
        else:
            lines = [*shown.lines, *self._quota_lines(wanted)]
        if cached.hit is not None:
            lines.append((b"age", b"%d" % max(0, now - entry.pointer.proved_at)))
        lines += [cache_status(cached, now), *explained]
        headers = exchange.headers
        since = headers.get("if-modified-since") if wanted.read.dated else None
        if not_modified(shown, headers.get("if-none-match"), since):
            await exchange.reply(304, b"", without_body(lines))
            return
        await exchange.start(shown.status, lines)
        await exchange.send(shown.body)
        if shown.status == 200 and entry.alive and exchange.method in SAFE:
            key = key_of(exchange.raw_target, exchange.raw_headers)
            if key is not None:
                self._hot.remember(key, entry, wanted, shown)

    def _quota_lines(self, wanted: Wanted) -> list[Line]:
        raw = self._engine.buckets.lines(wanted.bucket, wanted.quota)
        return [(name, value) for name, _, value in (line.partition(b": ") for line in raw.splitlines())]

    async def _reply_forwarded(
        self, exchange: Exchange, wanted: Wanted, answer: Forwarded, base: str, route: RouteCount, explained: list[Line]
    ) -> None:
        """GitHub's answer as it is: an error, a redirect that is not kept, or a body too large to keep."""
        response, body = answer.response, answer.body
        if answer.shared:
            self._ledger.hit("coalesced", route, len(body or b""), 0)
        elif answer.forwarded == 304 and wanted.authorised:
            self._ledger.revalidated(route, 0, 0)
        else:
            self._ledger.miss(route)
        status = ("hit", "detail=coalesced") if answer.shared else forwarded(shown_rule(answer), answer.forwarded)
        coded = CODED if body is not None or "content-encoding" in response.headers else ()
        lines = [line for line in pass_lines(response.pairs, base, self._upstreams) if line[0] not in coded]
        own = [head.cache_status(*status), *explained]
        if body is None:
            try:
                await exchange.start(response.status, [*lines, *own])
                if exchange.method == "HEAD":
                    await exchange.send(b"")
                else:
                    await pump(exchange, response.stream())
            finally:
                await response.close()
            return
        if base and is_json(response.headers.get("content-type", "")):
            shown = links.rewrite_body(body, self._upstreams.bases, base)
            lines, body = (lines if shown == body else weakened(lines)), shown
        await exchange.reply(response.status, body, [*lines, *own])
