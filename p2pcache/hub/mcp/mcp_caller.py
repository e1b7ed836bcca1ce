"""A caller of the MCP server, and whose token GitHub is asked with for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from p2pcache.gateway.control import Gate, proxied
from p2pcache.gateway.exchange import BadRequest, Exchange
from p2pcache.gateway.listen import here
from p2pcache.hub.mcp.node_api import NodeApi
from p2pcache.values import Secret

CHALLENGE = (b"www-authenticate", b'Bearer realm="GitHub"')


@dataclass(frozen=True, slots=True)
class McpCaller:
    """One caller: what it may ask, and the digest by which its subscriptions are counted."""

    api: NodeApi
    digest: bytes


def digest_of(authorization: str | None) -> bytes:
    """Return the digest of a credential."""
    return hashlib.sha256((authorization or "").encode()).digest()


def authorization_of(exchange: Exchange, gate: Gate, own: Secret | None) -> str | None:
    """Return what GitHub is asked with for an MCP request, None for nothing.

    That is what the request carries. Without it a caller on this machine's loopback, and through no proxy, is served
    with the node's own token; any other one is refused. The control token never goes to GitHub.

    Raises:
        BadRequest: a page of another site asks, or a caller from elsewhere without a token.
    """
    if exchange.foreign:
        raise BadRequest(403, "Pages of other sites may not ask this.")
    given = exchange.headers.get("authorization")
    if given is not None and not gate.holds(given):
        return given
    if here(exchange.client) and not proxied(exchange):
        return f"token {own.reveal()}" if own else None
    sentence = "From other machines, send a token of GitHub's as a bearer token: GitHub is asked with it."
    raise BadRequest(401, sentence, CHALLENGE)
