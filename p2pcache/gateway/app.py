"""The gateway's ASGI application: each request to the cache, past it, to the node itself, or to a clear refusal."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import MutableMapping
from typing import Any

from p2pcache.cache.engine import Engine
from p2pcache.cache.upstream import UpstreamError
from p2pcache.gateway.bounds import DEFAULT_BOUNDS, ClientBounds
from p2pcache.gateway.caller_limits import CallerLimits
from p2pcache.gateway.control import ControlPlane
from p2pcache.gateway.exchange import BadRequest, Disconnected, Exchange, Receive, Send
from p2pcache.gateway.head import Line, cache_status
from p2pcache.gateway.http_upstream import HttpUpstream, UpstreamResponse, UpstreamTimeoutError
from p2pcache.gateway.listen import here
from p2pcache.gateway.reads import Reads
from p2pcache.gateway.relay import Relay
from p2pcache.gateway.routing import CONTROL_PREFIX, Api, Control, Destination, Misdirected, RawFile, Router, Stream
from p2pcache.gateway.seen import Observer, collected, seen
from p2pcache.github import graphql, writes
from p2pcache.github.classify import classify, raw_file
from p2pcache.github.methods import SAFE, label
from p2pcache.github.request import Bypass, Classified, Read, Request, Write
from p2pcache.ledger.ledger import Ledger

log = logging.getLogger(__name__)

MAX_GRAPHQL = 256 << 10
"""Bytes of a GraphQL request that may be a read; a larger one is streamed through. gh's largest are about 5 KiB."""
UNREAD_GRAPHQL = Write("POST /graphql", (writes.ALL,))
"""A GraphQL request that was not looked into: it may change anything."""
READS = ("GET", "HEAD")
TAKEN = range(200, 300)
"""GitHub carried the write out; what it redirects was not done here."""
LIMITED = frozenset({403, 429})
"""What GitHub refuses with beyond a limit, among other reasons."""


class Gateway:
    """Dispatches requests; one instance a node. With `local`, other machines get the control endpoints alone."""

    def __init__(
        self,
        *,
        router: Router,
        engine: Engine,
        upstream: HttpUpstream,
        relay: Relay,
        reads: Reads,
        limits: CallerLimits,
        ledger: Ledger,
        control: ControlPlane,
        bounds: ClientBounds = DEFAULT_BOUNDS,
        local: bool = False,
        observers: tuple[Observer, ...] = (),
    ) -> None:
        self._observers = observers
        self._router = router
        self._engine = engine
        self._upstream = upstream
        self._relay = relay
        self._reads = reads
        self._limits = limits
        self._ledger = ledger
        self._control = control
        self._gathered = 0
        self._parsing = asyncio.Semaphore(1)
        self._bounds = bounds
        self._local = local

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong, the client gets a sentence and never a traceback."""
        exchange = Exchange(scope, receive, send, self._bounds.body_seconds)
        if not self._observers:
            await self._answer(exchange)
            return
        began, calls = time.monotonic(), collected()
        try:
            await self._answer(exchange)
        finally:
            found = seen(exchange, began, calls)
            for observe in self._observers:
                observe(found)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._dispatch(exchange)
        except Disconnected:
            return
        except BadRequest as error:
            await exchange.refuse(error.status, str(error), "refused", error.lines)
        except UpstreamError as error:
            self._ledger.error("upstream")
            await exchange.refuse(504 if isinstance(error, UpstreamTimeoutError) else 502, f"{error}.", "upstream")
        except Exception:  # the last resort of a server: log it, answer, live on
            log.exception("a request failed inside the gateway")
            self._ledger.error("internal")
            await exchange.refuse(500, "An error inside the cache; its log says more.", "error")
        finally:
            if exchange.program is not None:
                exchange.program.requests += 1
                exchange.program.saved += exchange.saved

    async def _dispatch(self, exchange: Exchange) -> None:
        destination = self._router.route(exchange.host, exchange.target, exchange.own_user, exchange.scheme)
        if self._local and not here(exchange.client):
            destination = self._for_others(exchange, destination)
        match destination:
            case Control(path):
                await self._control.answer(exchange, path)
            case Misdirected():
                raise BadRequest(421, "This gateway speaks for GitHub's API; the Host names something else.")
            case _ if self._control.opened_by(exchange.authorization):
                raise BadRequest(403, "This is the node's control token, which goes nowhere else: send one of GitHub.")
            case Api(target, base):
                await self._api(exchange, target, base)
            case Stream(url, target):
                await self._stream(exchange, url, target)
            case RawFile(target):
                await self._raw(exchange, target)

    def _for_others(self, exchange: Exchange, destination: Destination) -> Control:
        """Return the destination of another machine's request, which knows this one by a name of its network's DNS.

        The names of the router are to keep pages in a browser on this machine out (DNS rebinding); another machine
        needs the control token in any case.
        """
        if isinstance(destination, Misdirected) and exchange.target.startswith(CONTROL_PREFIX):
            return Control(exchange.target.removeprefix(CONTROL_PREFIX))
        if not isinstance(destination, Control):
            raise BadRequest(403, f"To other machines this gateway answers {self._control.names} alone.")
        return destination

    async def _api(self, exchange: Exchange, target: str, base: str) -> None:
        if exchange.method == "POST" and target.partition("?")[0] == "/graphql":
            await self._graphql(exchange, target, base)
            return
        # A HEAD is answered from what a GET brings (RFC 9110 section 9.3.2): GitHub charges the one as the other.
        method = "GET" if exchange.method == "HEAD" else exchange.method
        request = Request(method, target, exchange.headers)
        await self._classified(exchange, classify(request), request, base, whole=exchange.length == 0)

    async def _raw(self, exchange: Exchange, target: str) -> None:
        request = Request(exchange.method, target, exchange.headers, raw=True)
        if exchange.method not in READS:
            raise BadRequest(405, "/raw/ serves files, to GET and HEAD.", (b"allow", b"GET, HEAD"))
        match raw_file(request):
            case Read() as read:
                await self._reads.answer(exchange, read, request, "")
            case Bypass():
                await self._stream(exchange, self._upstream.url(request), "")
            case None:
                raise BadRequest(404, "A file is at /raw/OWNER/REPO/REF/PATH.")

    async def _graphql(self, exchange: Exchange, target: str, base: str) -> None:
        """Classify by the body: it is gathered within a bound, beyond which it is streamed, and parsed in a thread.

        graphql-core takes 120 ms to import and up to 10 ms for a document of 4 KiB, and memory hits do not wait.
        """
        body, whole = bytearray(), True
        try:
            async for piece in exchange.stream():
                body += piece
                self._gathered += len(piece)
                if len(body) > MAX_GRAPHQL or self._gathered > self._bounds.gathered_bytes:
                    whole = False
                    break
            request = Request(exchange.method, target, exchange.headers, bytes(body))
            if whole:
                async with self._parsing:
                    classified = await asyncio.to_thread(classify, request)
            else:
                classified = UNREAD_GRAPHQL
            await self._classified(exchange, classified, request, base, whole=whole)
        finally:
            self._gathered -= len(body)

    async def _classified(
        self, exchange: Exchange, classified: Classified, request: Request, base: str, *, whole: bool
    ) -> None:
        if isinstance(classified, Read):
            await self._reads.answer(exchange, classified, request, base)
        else:
            await self._pass(exchange, classified, request.target, base, request.body, whole=whole)

    async def _pass(
        self, exchange: Exchange, classified: Write | Bypass, target: str, base: str, body: bytes, *, whole: bool
    ) -> None:
        """Stream through; after a write, drop what it may have changed before its answer goes out."""
        write = isinstance(classified, Write)
        exchange.route = classified.route
        self._ledger.bypassed(self._ledger.route(classified.route))
        if refused := self._limits.refusal(exchange.headers):
            exchange.rule = refused.rule
            self._ledger.decided(refused.rule)
            await self._limits.refuse(exchange, refused)
            return
        exchange.rule = "write" if isinstance(classified, Write) else f"bypass: {classified.reason}"
        self._ledger.decided(exchange.rule)
        if exchange.method not in SAFE:
            exchange.unsafe()
        try:
            answer = await self._relay.ask(exchange, self._upstream.api_url(target), body, whole=whole)
        except UpstreamError:
            if isinstance(classified, Write):
                await self._drop(exchange, classified.drops, None)
            raise
        self._limits.observe(exchange.headers, answer)
        extra = [_forwarded("method" if write else "bypass", answer.status)]
        mutation = body if write and whole and target.partition("?")[0] == "/graphql" else None
        if isinstance(classified, Write) and mutation is None:
            await self._drop(exchange, classified.drops, answer.status)
        if mutation is None and answer.status not in LIMITED:
            await self._relay.answer(exchange, answer, base, extra)
        else:
            await self._relay.answer(exchange, answer, base, extra, lambda r: self._read(exchange, answer, mutation, r))

    async def _read(
        self, exchange: Exchange, answer: UpstreamResponse, mutation: bytes | None, reply: bytes | None
    ) -> None:
        """Learn from an answer's body: of a limit, or of what a GraphQL mutation changed."""
        if reply is not None:
            self._limits.observe(exchange.headers, answer, reply)
        if mutation is not None:
            drops = (writes.ALL,) if reply is None else graphql.drops(mutation, reply)
            await self._drop(exchange, drops, answer.status)

    async def _drop(self, exchange: Exchange, drops: tuple[str, ...], status: int | None) -> None:
        """Drop what a write may have changed; `status` is GitHub's, None when there was no answer.

        Only for a caller that GitHub knows, else every stranger could empty the cache: GitHub took the write (2xx), or
        accepted the credential before and may have taken it. And for no page of another site: GitHub's API serves
        pages of any origin, and one may have a token of its own.
        """
        credential = exchange.headers.get("authorization")
        if credential is None or exchange.foreign:
            return
        unknown = status is None or status >= 500  # what became of it
        if status in TAKEN or (unknown and credential in self._upstream.accepted):
            await self._engine.wrote(drops)

    async def _stream(self, exchange: Exchange, url: str, target: str) -> None:
        """Another of GitHub's hosts; `target` names what an upload there changes, in terms of the API."""
        exchange.route, exchange.rule = f"{label(exchange.method)} other GitHub hosts", "bypass: host"
        self._ledger.bypassed(self._ledger.route(exchange.route))
        self._ledger.decided(exchange.rule)
        if exchange.method not in SAFE:
            exchange.unsafe()
        drops = writes.drops(exchange.method, target.partition("?")[0]) if target else ()
        try:
            answer = await self._relay.ask(exchange, url)
        except UpstreamError:
            await self._drop(exchange, drops, None)
            raise
        await self._drop(exchange, drops, answer.status)
        await self._relay.answer(exchange, answer, "", [_forwarded("bypass", answer.status)])


def _forwarded(reason: str, status: int) -> Line:
    return cache_status(f"fwd={reason}", f"fwd-status={status}")
