"""A job's request for an OIDC token of its own, and the answer to it. Pure.

https://docs.github.com/en/actions/reference/security/oidc
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

TOKEN_CHARACTERS = 8_192
"""The longest token that is sent on; GitHub's have about 2,000 characters."""


class _Answer(msgspec.Struct):
    value: str


def audience(hub: str, peer: str) -> str:
    """Return the audience of a token with which `peer` proves itself to `hub`, both peer ids.

    Noise proves both, so a token is of no use on another connection: to another hub, or from another node.
    """
    return f"p2pcache:{hub}:{peer}"


def request_url(url: str, audience: str) -> str:
    """Return what to ask, made of the runner's URL, which has a query already."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "audience"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("audience", audience)])))


def token_of(body: bytes) -> str:
    """Return the token in an answer.

    Raises:
        ValueError: there is none.
    """
    token = msgspec.json.decode(body, type=_Answer).value
    if not token.isascii() or not 0 < len(token) <= TOKEN_CHARACTERS:
        raise ValueError("no token")
    return token
