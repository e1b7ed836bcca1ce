"""The gateway's ASGI application: each request to the cache, past it, to the node itself, or to a clear refusal."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

import msgspec

from p2pcache.cache.engine import Engine
from p2pcache.cache.upstream import UpstreamError
from p2pcache.gateway.control import ControlPlane
from p2pcache.gateway.exchange import BadRequest, Disconnected, Exchange, Receive, Send
from p2pcache.gateway.ledger import Ledger
from p2pcache.gateway.reads import Reads
from p2pcache.gateway.relay import Relay
from p2pcache.gateway.routing import Api, Control, Misdirected, Router, Stream
from p2pcache.gateway.upstream import HttpUpstream
from p2pcache.github.classify import classify
from p2pcache.github.request import Bypass, Read, Request, Write

log = logging.getLogger(__name__)

MAX_GRAPHQL = 1 << 20
"""Bytes of a GraphQL request that may be a read; a larger one is streamed through."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that may be made again (RFC 9110 section 9.2.1)."""
"""tail"""


class Gateway:
    """Dispatches requests; one instance a node."""

    def __init__(
        self,
        *,
        router: Router,
        engine: Engine,
        upstream: HttpUpstream,
        relay: Relay,
        reads: Reads,
        ledger: Ledger,
        control: ControlPlane,
    ) -> None:
        self._router = router
        self._engine = engine
        self._upstream = upstream
        self._relay = relay
        self._reads = reads
        self._ledger = ledger
        self._control = control

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong, the client gets a sentence and never a traceback."""
        exchange = Exchange(scope, receive, send)
        try:
            await self._dispatch(exchange)
        except Disconnected:
            return
        except BadRequest as error:
            await _refuse(exchange, error.status, str(error))
        except UpstreamError as error:
            self._ledger.error("upstream")
            await _refuse(exchange, 502, f"{error}.")
        except Exception:  # the last resort of a server: log it, tell the client, live on
            log.exception("a request failed inside the gateway")
            self._ledger.error("internal")
            await _refuse(exchange, 500, "An error inside the cache; its log says more.")

    async def _dispatch(self, exchange: Exchange) -> None:
        match self._router.route(exchange.host, exchange.target):
            case Api(target, base):
                await self._api(exchange, target, base)
            case Control(path):
                await self._control.answer(exchange, path)
            case Stream(url):
                self._ledger.bypassed(self._ledger.route(f"{exchange.method} other GitHub hosts"))
                if exchange.method not in SAFE:
                    exchange.unsafe()
                answer = await self._relay.ask(exchange, url)
                await self._relay.answer(exchange, answer, "", [_forwarded("bypass", answer.status)])
            case Misdirected():
                raise BadRequest(421, "This gateway speaks for GitHub's API; the Host names something else.")

    async def _api(self, exchange: Exchange, target: str, base: str) -> None:
        body, whole = b"", exchange.length == 0
        if exchange.method == "POST" and target.partition("?")[0] == "/graphql":
            body, whole = await exchange.body(MAX_GRAPHQL)
        if exchange.method == "GET" and not whole:
            classified: Read | Write | Bypass = Bypass("GET with a body", "body")
        elif body and not whole:
            classified = Bypass("POST /graphql", "larger than the cache reads")
        else:
            classified = classify(Request(exchange.method, target, exchange.headers, body))
        if isinstance(classified, Read):
            request = Request(exchange.method, target, exchange.headers, body)
            await self._reads.answer(exchange, classified, request, base)
        else:
            await self._pass(exchange, classified, target, base, body, whole=whole)

    async def _pass(
        self, exchange: Exchange, classified: Write | Bypass, target: str, base: str, body: bytes, *, whole: bool
    ) -> None:
        """Stream through; after a write, forget what it may have changed before its answer goes out."""
        self._ledger.bypassed(self._ledger.route(classified.route))
        self._ledger.decided("write" if isinstance(classified, Write) else f"bypass: {classified.reason}")
        if exchange.method not in SAFE:
            exchange.unsafe()
        answer = await self._relay.ask(exchange, self._upstream.api_url(target), body, whole=whole)
        self._reads.observe(exchange.headers, answer)
        reason = "bypass"
        if isinstance(classified, Write):
            reason = "method"
            if answer.status < 500:
                await self._engine.wrote(classified.drops)
        await self._relay.answer(exchange, answer, base, [_forwarded(reason, answer.status)])


def _forwarded(reason: str, status: int) -> tuple[bytes, bytes]:
    return b"cache-status", f"p2pcache; fwd={reason}; fwd-status={status}".encode()


async def _refuse(exchange: Exchange, status: int, sentence: str) -> None:
    """An error in the shape of GitHub's, which clients know how to show; too late once an answer has begun."""
    if exchange.started:
        raise ConnectionAbortedError("the answer broke off after it had begun")
    body = msgspec.json.encode({"message": f"p2pcache: {sentence}"})
    lines = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"cache-status", b"p2pcache; fwd=bypass; detail=error"),
        *([(b"connection", b"close")] if status in (400, 421) else []),
    ]
    await exchange.reply(status, body, lines)
