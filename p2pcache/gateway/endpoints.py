"""The control endpoints that every node has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from p2pcache.gateway.control import STATUS, Access, Endpoint, Gate, reply_json
from p2pcache.gateway.exchange import BadRequest, Exchange
from p2pcache.values import Secret

MAX_BODY = 64 << 10


class Purge(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /-/purge``: one of the two."""

    url: str = ""
    all: bool = False


class ActionsCredentials(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /-/actions``: what a runner gives JavaScript and Docker actions for the Actions cache."""

    results_url: str
    token: str


class NodeEndpoints:
    """Answers for a node.

    Args:
        gate: shows what is wrong to those alone that may read.
        stats: the ledger, as `/-/stats` gives it.
        peers: the peers table.
        purge: forgets one API target (path and query), or all when given None; here and in the swarm.
        authorize: hands credentials of the Actions cache to the tiers that use it and returns whether there are any;
            raises ValueError where they cannot be used.
        bases: API URLs that may stand before the path in a purge request.
        health: what is wrong, a sentence each; nothing while the node is well.
    """

    def __init__(
        self,
        *,
        gate: Gate,
        stats: Callable[[], Mapping[str, Any]],
        peers: Callable[[], list[Mapping[str, Any]]],
        purge: Callable[[str | None], Awaitable[None]],
        authorize: Callable[[str, Secret], Awaitable[bool]],
        bases: tuple[str, ...],
        health: Callable[[], list[str]] = list,
    ) -> None:
        self._gate = gate
        self._stats = stats
        self._peers = peers
        self._purge = purge
        self._authorize = authorize
        self._bases = bases
        self._health = health

    def all(self) -> tuple[Endpoint, ...]:
        """Return the endpoints."""
        return (
            Endpoint("healthz", ("GET",), Access.OPEN, self._healthz),
            Endpoint("stats", ("GET",), Access.READ, lambda exchange: reply_json(exchange, self._stats())),
            Endpoint("peers", ("GET",), Access.READ, lambda exchange: reply_json(exchange, self._peers())),
            Endpoint("metrics", ("GET",), Access.READ, self._metrics),
            Endpoint("purge", ("POST",), Access.CHANGE, self._purged),
            Endpoint("actions", ("POST",), Access.CHANGE, self._authorized),
        )

    async def _healthz(self, exchange: Exchange) -> None:
        """Say whether the node is well; what is wrong, only to callers that may ask the other endpoints."""
        if not (reasons := self._health()):
            await reply_json(exchange, {"status": "ok"})
        elif self._gate.may_read(exchange):
            await reply_json(exchange, {"status": "degraded", "reasons": reasons})
        else:
            await reply_json(exchange, {"status": "degraded"})

    async def _metrics(self, exchange: Exchange) -> None:
        from p2pcache.ledger import metrics  # prometheus-client costs 14 MB where nobody scrapes

        body = metrics.exposition(self._stats())
        await exchange.reply(200, body, [(b"content-type", metrics.CONTENT_TYPE.encode()), STATUS])

    async def _purged(self, exchange: Exchange) -> None:
        body, whole = await exchange.body(MAX_BODY)
        try:
            purge = msgspec.json.decode(body, type=Purge) if whole else None
        except msgspec.DecodeError:
            purge = None
        if purge is None or purge.all == bool(purge.url):
            raise BadRequest(400, 'Send {"url": "https://api.github.com/..."} or {"all": true}.')
        if purge.all:
            await self._purge(None)
        else:
            await self._purge(self._target(purge.url))
        await reply_json(exchange, {"status": "purged"})

    async def _authorized(self, exchange: Exchange) -> None:
        body, whole = await exchange.body(MAX_BODY)
        try:
            given = msgspec.json.decode(body, type=ActionsCredentials) if whole else None
            used = given is not None and await self._authorize(given.results_url, Secret(given.token))
        except ValueError:
            given = None
        if given is None:  # without the reason, which could show a part of what was sent
            sentence = (
                'Send {"results_url": ..., "token": ...} as the runner gives them; the URL https, or on loopback.'
            )
            raise BadRequest(400, sentence)
        await reply_json(exchange, {"status": "used" if used else "unused"})

    def _target(self, url: str) -> str:
        for base in self._bases:
            if url.startswith(base + "/"):
                return url.removeprefix(base)
        if url.startswith("/"):
            return url
        raise BadRequest(400, f"The url must begin with {self._bases[0]}/ or be a path.")
