"""The node's own endpoints below ``/-/`` (docs/interface.md#control-endpoints).

Callers on this machine may read, and so may a caller with the control token. What changes the node needs that token, or
the unix socket and this node's own user: every user of a machine reaches its loopback, and so does every page in a
browser on it.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from p2pcache import files
from p2pcache.gateway.exchange import BadRequest, Exchange
from p2pcache.gateway.head import cache_status
from p2pcache.gateway.listen import here
from p2pcache.github.tokens import token_in
from p2pcache.values import Secret

MAX_BODY = 64 << 10
_JSON = (b"content-type", b"application/json; charset=utf-8")
_STATUS = cache_status("detail=control")

_METHODS = {"healthz": "GET", "stats": "GET", "peers": "GET", "metrics": "GET", "purge": "POST", "actions": "POST"}
ENDPOINTS = ", ".join(f"/-/{name}" for name in _METHODS)
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")

TOKEN_FILE = "control-token"  # noqa: S105 - its name
TOKEN_BYTES = 32
MADE = (
    f" (where it is not set: what {TOKEN_FILE} in the node's --dir holds, after `up` and with --socket PATH "
    f"PATH.{TOKEN_FILE}), or ask over its unix socket as its user"
)

Stats = Callable[[], Mapping[str, Any]]


class Purge(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /-/purge``: one of the two."""

    url: str = ""
    all: bool = False


class ActionsCredentials(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /-/actions``: what a runner gives JavaScript and Docker actions for the Actions cache."""

    results_url: str
    token: str


class ControlPlane:
    """Serves the control endpoints.

    Args:
        stats: the ledger, as `/-/stats` gives it.
        peers: the peers table.
        purge: forgets one API target (path and query), or all when given None; here and in the swarm.
        authorize: hands credentials of the Actions cache to the tiers that use it and returns whether there are any;
            raises ValueError where they cannot be used.
        bases: API URLs that may stand before the path in a purge request.
        token: the bearer token of callers that nothing else vouches for; None: no such caller is served.
        health: what is wrong, a sentence each; nothing while the node is well.
    """

    def __init__(
        self,
        *,
        stats: Stats,
        peers: Callable[[], list[Mapping[str, Any]]],
        purge: Callable[[str | None], Awaitable[None]],
        bases: tuple[str, ...],
        token: str | None,
        authorize: Callable[[str, Secret], Awaitable[bool]],
        health: Callable[[], list[str]] = list,
    ) -> None:
        self._stats = stats
        self._peers = peers
        self._health = health
        self._purge = purge
        self._authorize = authorize
        self._bases = bases
        self._token = token

    async def answer(self, exchange: Exchange, path: str) -> None:
        """Answer one control request.

        Raises:
            BadRequest: not allowed, unknown, or with a body that cannot be used.
        """
        endpoint = path.partition("?")[0]
        if endpoint not in _METHODS:
            raise BadRequest(404, f"There is no such control endpoint; these are: {ENDPOINTS}.")
        method = _METHODS[endpoint]
        if exchange.method != method:
            raise BadRequest(405, f"/-/{endpoint} takes {method}.", (b"allow", method.encode()))
        if endpoint != "healthz":
            self._allow(exchange, changes=method != "GET")
        match endpoint:
            case "healthz":
                await self._reply(exchange, self._healthz(exchange))
            case "stats":
                await self._reply(exchange, self._stats())
            case "peers":
                await self._reply(exchange, self._peers())
            case "metrics":
                from p2pcache.ledger import metrics  # prometheus-client costs 14 MB where nobody scrapes

                body = metrics.exposition(self._stats())
                await exchange.reply(200, body, [(b"content-type", metrics.CONTENT_TYPE.encode()), _STATUS])
            case "purge":
                await self._purged(exchange)
            case "actions":
                await self._authorized(exchange)

    def _healthz(self, exchange: Exchange) -> dict[str, Any]:
        """Return whether the node is well; what is wrong, only to callers that may ask the other endpoints."""
        if not (reasons := self._health()):
            return {"status": "ok"}
        try:
            self._allow(exchange, changes=False)
        except BadRequest:
            return {"status": "degraded"}
        return {"status": "degraded", "reasons": reasons}

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
        await self._reply(exchange, {"status": "purged"})

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
        await self._reply(exchange, {"status": "used" if used else "unused"})

    def _target(self, url: str) -> str:
        for base in self._bases:
            if url.startswith(base + "/"):
                return url.removeprefix(base)
        if url.startswith("/"):
            return url
        raise BadRequest(400, f"The url must begin with {self._bases[0]}/ or be a path.")

    def _allow(self, exchange: Exchange, *, changes: bool) -> None:
        """Let through callers that are vouched for or have the bearer token, and never a page of another site."""
        headers = exchange.headers
        if exchange.foreign:
            raise BadRequest(403, "Pages of other sites may not ask this.")
        if not any(name in headers for name in _FORWARDED):
            if here(exchange.client) and not changes:
                return
            if changes and "origin" not in headers and exchange.own_user():
                return
        if self._token is None:
            raise BadRequest(403, "From elsewhere this needs CACHE_CONTROL_TOKEN set at the node, and sent.")
        given = token_in(headers.get("authorization", "")) or ""
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            challenge = (b"www-authenticate", b'Bearer realm="p2pcache"')
            raise BadRequest(401, f"Send the node's CACHE_CONTROL_TOKEN as a bearer token{MADE}.", challenge)

    @staticmethod
    async def _reply(exchange: Exchange, value: object) -> None:
        await exchange.reply(200, msgspec.json.encode(value), [_JSON, _STATUS])


@contextlib.contextmanager
def own_token(path: Path) -> Iterator[str]:
    """Keep a control token for one life of a node in the file `path`, which this user alone can read.

    Raises:
        OSError: it cannot be written there.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    files.replace(path, token.encode(), files.PRIVATE)
    try:
        yield token
    finally:
        with contextlib.suppress(OSError):
            if path.read_text("ascii") == token:  # not that of a node which took the directory over
                path.unlink()
