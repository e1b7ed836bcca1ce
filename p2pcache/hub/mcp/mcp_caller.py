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

    That is what the request carries. Without it the node's own token stands in for a process of the node's user on this
    machine, but for no proxy: neither one that says so nor one of another user. The control token never goes to GitHub.

    Raises:
        BadRequest: a page of another site asks, or any other caller without a token.
    """
    if exchange.foreign:
        raise BadRequest(403, "Pages of other sites may not ask this.")
    given = exchange.headers.get("authorization")
    if given is not None and not gate.holds(given):
        return given
    if here(exchange.client) and not proxied(exchange):
        if own is None:
            return None
        if exchange.users_process():
            return f"token {own.reveal()}"
    sentence = (
        "Send a token of GitHub's as a bearer token: GitHub is asked with it. This node's own is for processes of its "
        "user, on its machine."
    )
    raise BadRequest(401, sentence, CHALLENGE)
