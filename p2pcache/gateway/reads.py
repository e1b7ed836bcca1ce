"""Cacheable reads: from the engine's answer to HTTP, counted, and made ready for the next one."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping

from p2pcache.cache.answer import Kept, Passed, Refused
from p2pcache.cache.buckets import Buckets
from p2pcache.cache.engine import Engine
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.upstream import UpstreamError
from p2pcache.cache.wanted import Identity, Wanted, want
from p2pcache.gateway.exchange import Exchange
from p2pcache.gateway.hot import Hot, Key, key_of
from p2pcache.gateway.ledger import Ledger, RouteCount
from p2pcache.gateway.relay import Relay, pass_lines
from p2pcache.gateway.respond import Shown, View, accepts_gzip, not_modified, show
from p2pcache.gateway.routing import Upstreams
from p2pcache.gateway.upstream import Answer as HttpAnswer
from p2pcache.gateway.upstream import HttpUpstream
from p2pcache.github import scopes
from p2pcache.github.request import Read, Request

log = logging.getLogger(__name__)

MAX_PLANS = 4096
EXPLAIN = b"p2pcache-rule"

Line = tuple[bytes, bytes]
_HEAD_ONLY = frozenset(
    {b"content-encoding", b"content-length", b"link", b"location", b"etag", b"vary", b"cache-control"}
)


class Reads:
    """Answers classified reads."""

    def __init__(
        self,
        *,
        engine: Engine,
        keyring: Keyring,
        identity: Identity,
        ledger: Ledger,
        hot: Hot,
        relay: Relay,
        upstream: HttpUpstream,
        upstreams: Upstreams,
        clock: Callable[[], float],
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
        self._plans: OrderedDict[Key, Wanted] = OrderedDict()

    @property
    def buckets(self) -> Buckets:
        """What is known of the callers' quotas."""
        return self._engine.buckets

    def observe(self, headers: Mapping[str, str], answer: HttpAnswer) -> None:
        """Learn the caller's quota from an answer that was only passed through."""
        scope = scopes.scope_of(headers, self._identity.job_token, self._identity.repository)
        self.buckets.observe(scope, answer.headers)

    async def answer(self, exchange: Exchange, read: Read, request: Request, base: str) -> None:
        """Answer a read from the cache or from GitHub; an error of the cache itself falls back to GitHub.

        Raises:
            UpstreamError: GitHub cannot be reached and nothing can stand in.
        """
        wanted = want(self._keyring, self._identity, read, request)
        route = self._ledger.route(read.route)
        try:
            answer = await self._engine.read(wanted)
        except UpstreamError:
            self._ledger.miss(route)
            raise
        except Exception:  # fail open: whatever breaks inside the cache, the caller gets GitHub's answer
            log.exception("the cache failed; GitHub is asked directly")
            self._ledger.error("cache")
            self._ledger.miss(route)
            passed = await self._relay.ask(exchange, self._upstream.api_url(request.target), request.body, whole=True)
            lines = [(b"cache-status", f"p2pcache; fwd=bypass; fwd-status={passed.status}".encode())]
            await self._relay.answer(exchange, passed, base, lines)
            return
        self._ledger.decided(answer.rule)
        match answer:
            case Kept():
                await self._kept(exchange, wanted, answer, base, route)
            case Passed():
                await self._passed(exchange, wanted, answer, base, route)
            case Refused(status, headers, body, rule):
                self._ledger.miss(route)
                lines = [(name.encode(), value.encode()) for name, value in headers]
                lines += [(b"cache-status", b"p2pcache; fwd=bypass; detail=quota"), _explained(rule)]
                await exchange.reply(status, body, lines)

    async def _kept(self, exchange: Exchange, wanted: Wanted, kept: Kept, base: str, route: RouteCount) -> None:
        entry = kept.entry
        view = View(base, accepts_gzip(exchange.headers.get("accept-encoding")))
        shown = show(entry, view, self._tag(wanted, kept), self._engine.library.memory, self._upstreams)
        self._count(wanted, kept, shown, route)
        lines = [*shown.lines, *self._quota_lines(wanted), *self._status_lines(kept)]
        if not_modified(shown, exchange.headers.get("if-none-match")):
            lines = [line for line in lines if line[0] not in (b"content-length", b"content-type", b"content-encoding")]
            await exchange.start(304, lines)
            await exchange.send(b"")
            return
        await exchange.start(shown.status, lines)
        await exchange.send(shown.body)
        if shown.status == 200 and entry.alive and exchange.method == "GET":
            key = key_of(exchange.raw_target, exchange.raw_headers)
            if key is not None:
                self._hot.remember(key, entry, wanted, shown)

    def _tag(self, wanted: Wanted, kept: Kept) -> str | None:
        """The ETag GitHub would show this caller: the one it gave, or the computed one for another token's entry."""
        pointer = kept.entry.pointer
        if kept.forwarded is not None or not pointer.etag or self._engine.trial.state != "holds":
            return pointer.etag
        return wanted.tag(kept.entry.block.body)

    def _count(self, wanted: Wanted, kept: Kept, shown: Shown, route: RouteCount) -> None:
        cost, size = kept.entry.pointer.cost_ms, len(shown.body)
        if kept.hit is None:
            self._ledger.miss(route)
        elif kept.hit == "revalidated":
            self._ledger.revalidated(route, size, cost, charged=not wanted.authorised)
        else:
            self._ledger.hit(kept.hit, route, size, cost)

    def _quota_lines(self, wanted: Wanted) -> list[Line]:
        raw = self.buckets.lines(wanted.bucket, wanted.quota)
        return [(name, value) for name, _, value in (line.partition(b": ") for line in raw.splitlines())]

    def _status_lines(self, kept: Kept) -> list[Line]:
        now, pointer = self._clock(), kept.entry.pointer
        ttl = int(pointer.expires_at - now)
        if kept.hit is None:
            reason = "uri-miss" if kept.rule.startswith("nothing") else "stale"
            status = f"p2pcache; fwd={reason}; fwd-status={kept.forwarded}" + ("; stored" if kept.stored else "")
        else:
            status = f"p2pcache; hit; ttl={ttl}; detail={kept.hit}"
        age = max(0, int(now - pointer.proved_at))
        lines = [(b"cache-status", status.encode()), _explained(kept.rule)]
        return lines if kept.hit is None else [(b"age", b"%d" % age), *lines]

    async def _passed(self, exchange: Exchange, wanted: Wanted, passed: Passed, base: str, route: RouteCount) -> None:
        """GitHub's answer as it is: an error, a redirect that is not kept, or a body too large to keep."""
        free = passed.forwarded == 304 and wanted.authorised
        if passed.shared:
            self._ledger.hit("coalesced", route, len(passed.body or b""), 0)
        elif free:
            self._ledger.revalidated(route, 0, 0)
        else:
            self._ledger.miss(route)
        reason = "uri-miss" if passed.rule.startswith("nothing") else "stale"
        status = f"p2pcache; fwd={reason}; fwd-status={passed.forwarded}"
        if passed.shared:
            status = "p2pcache; hit; detail=coalesced"
        response = passed.response
        lines = [
            *(line for line in pass_lines(response, base, self._upstreams) if line[0] not in _CODED),
            (b"cache-status", status.encode()),
            _explained(passed.rule),
        ]
        if passed.body is None:
            try:
                await exchange.start(response.status, lines)
                async for piece in response.stream():
                    await exchange.send(piece, more=True)
                await exchange.send(b"")
            finally:
                await response.close()
        elif response.status in (204, 304):
            await exchange.start(response.status, lines)
            await exchange.send(b"")
        else:
            await exchange.reply(response.status, passed.body, lines)


_CODED = frozenset({b"content-encoding", b"content-length"})


def _explained(rule: str) -> Line:
    """Which rule decided, for ``get --explain`` and whoever reads headers."""
    return EXPLAIN, rule.encode()
