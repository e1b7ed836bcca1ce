"""The node's own endpoints below ``/-/`` (INTERFACE section 3): for this machine, or for who has the control token."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from p2pcache.gateway.exchange import BadRequest, Exchange
from p2pcache.github.scopes import token_in

MAX_BODY = 64 << 10
_JSON = (b"content-type", b"application/json; charset=utf-8")
_STATUS = (b"cache-status", b"p2pcache; detail=control")

_METHODS = {"healthz": "GET", "stats": "GET", "peers": "GET", "metrics": "GET", "purge": "POST"}
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")

Stats = Callable[[], Mapping[str, Any]]


class Purge(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /-/purge``: one of the two."""

    url: str = ""
    all: bool = False


class ControlPlane:
    """Serves the control endpoints.

    Args:
        stats: the ledger, as `/-/stats` gives it.
        peers: the peers table.
        purge: forgets one API target (path and query), or all when given None; here and in the swarm.
        bases: API URLs that may stand before the path in a purge request.
        token: what a caller from elsewhere must show; None: nobody from elsewhere is served.
    """

    def __init__(
        self,
        *,
        stats: Stats,
        peers: Callable[[], list[Mapping[str, Any]]],
        purge: Callable[[str | None], Awaitable[None]],
        bases: tuple[str, ...],
        token: str | None,
    ) -> None:
        self._stats = stats
        self._peers = peers
        self._purge = purge
        self._bases = bases
        self._token = token

    async def answer(self, exchange: Exchange, path: str) -> None:
        """Answer one control request.

        Raises:
            BadRequest: not allowed, unknown, or with a body that cannot be used.
        """
        endpoint = path.partition("?")[0]
        if endpoint not in _METHODS:
            raise BadRequest(404, f"There is no such control endpoint; these are: /-/{', /-/'.join(_METHODS)}.")
        if endpoint != "healthz":
            self._allow(exchange)
        method = _METHODS[endpoint]
        if exchange.method != method:
            raise BadRequest(405, f"/-/{endpoint} takes {method}.", (b"allow", method.encode()))
        match endpoint:
            case "healthz":
                await self._reply(exchange, {"status": "ok"})
            case "stats":
                await self._reply(exchange, self._stats())
            case "peers":
                await self._reply(exchange, self._peers())
            case "metrics":
                from p2pcache.gateway import metrics  # prometheus-client costs 14 MB where nobody scrapes

                body = metrics.exposition(self._stats())
                await exchange.reply(200, body, [(b"content-type", metrics.CONTENT_TYPE.encode()), _STATUS])
            case "purge":
                await self._forget(exchange)

    async def _forget(self, exchange: Exchange) -> None:
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
        await self._reply(exchange, {"status": "purged"})

    def _target(self, url: str) -> str:
        for base in self._bases:
            if url.startswith(base + "/"):
                return url.removeprefix(base)
        if url.startswith("/"):
            return url
        raise BadRequest(400, f"The url must begin with {self._bases[0]}/ or be a path.")

    def _allow(self, exchange: Exchange) -> None:
        """This machine, or the bearer token; and never a web page of another site, which a browser here may run."""
        headers = exchange.headers
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{exchange.host}":
            raise BadRequest(403, "Pages of other sites may not ask this.")
        proxied = any(name in headers for name in _FORWARDED)
        if not proxied and (exchange.client is None or _loopback(exchange.client[0])):
            return
        if self._token is None:
            raise BadRequest(403, "From another machine this needs CACHE_CONTROL_TOKEN set at the node, and sent.")
        given = token_in(headers.get("authorization", "")) or ""
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            challenge = (b"www-authenticate", b'Bearer realm="p2pcache"')
            raise BadRequest(401, "Send the node's CACHE_CONTROL_TOKEN as a bearer token.", challenge)

    @staticmethod
    async def _reply(exchange: Exchange, value: object) -> None:
        await exchange.reply(200, msgspec.json.encode(value), [_JSON, _STATUS])


def _loopback(address: str) -> bool:
    """Whether a peer address is this machine's; a unix socket has none ("")."""
    try:
        known = ipaddress.ip_address(address or "127.0.0.1")
    except ValueError:
        return False
    return (getattr(known, "ipv4_mapped", None) or known).is_loopback
