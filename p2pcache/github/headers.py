"""Header fields: which ones are kept with a body, which end at each hop, and what this node calls itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

KEPT = frozenset(
    {
        "content-type",
        "content-language",
        "content-disposition",
        "deprecation",
        "location",
        "sunset",
        "x-github-api-version-selected",
        "x-github-media-type",
        "x-poll-interval",
    }
)
"""Lower-case response fields that describe the body for everybody.

What depends on the token (x-oauth-scopes, x-accepted-*, x-ratelimit-*, etag), on the moment (date, x-github-request-id)
or is kept in the pointer (etag, last-modified, link) is left out.
"""

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Fields of one connection, not of the message: RFC 9110 section 7.6.1, RFC 2616 section 13.5.1 for the older ones."""

_JSON = re.compile(r"application/(?:json|vnd\.github(?:\.v[0-9]+)?(?:\+json|\.object(?:\+json)?))")
# Fields that change what GitHub answers. `Vary` does not name them all: X-GitHub-Api-Version, which is part of every
# key, is missing there, too. docs.github.com, "Migrating GraphQL global node IDs"; gh sends GraphQL-Features.
_VARYING = ("x-github-", "graphql-", "x-requested-with")
_KEYED = frozenset({"x-github-api-version"})
_SENT = frozenset({"accept", "authorization", "content-type", "cookie"})
_SECONDS = re.compile(r'"?([0-9]{1,10})"?')
_PRETTY_PRINTED_FOR = ("curl", "Wget", "Safari", "Firefox")


FRAMING = frozenset({b"content-length", b"host", b"transfer-encoding"})
"""Fields by which a request was read and routed; each hop writes its own, whatever ``Connection`` says of them."""

_HOP_BY_HOP = frozenset(name.encode() for name in HOP_BY_HOP)


def end_to_end(lines: Iterable[tuple[bytes, bytes]], kept: frozenset[bytes] = frozenset()) -> list[tuple[bytes, bytes]]:
    """Header lines less `HOP_BY_HOP` and what ``Connection`` names (RFC 9110 section 7.6.1); `kept` stay in any case.

    Names are lower-case.
    """
    lines = list(lines)
    named = b",".join(value for name, value in lines if name == b"connection").lower().split(b",")
    gone = (_HOP_BY_HOP | {name.strip() for name in named}) - kept
    return [line for line in lines if line[0] not in gone]


def is_json(content_type: str) -> bool:
    """Whether an answer of this ``Content-Type`` is GitHub's JSON, in which URLs may be moved.

    Not a file, diff or rendering, although ``application/vnd.github.raw+json`` ends like JSON
    (docs.github.com, "Media types").
    """
    return _JSON.fullmatch(content_type.partition(";")[0].strip().lower()) is not None


def varying(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The request fields, besides those that every key holds, on which GitHub's answer may depend; sorted."""
    return tuple(sorted(line for line in headers.items() if line[0].startswith(_VARYING) and line[0] not in _KEYED))


def of_a_read(headers: Mapping[str, str]) -> dict[str, str]:
    """The request fields of a cacheable read that go to GitHub: no other may change an answer that others are given."""
    return {name: value for name, value in headers.items() if name in _SENT or name.startswith(_VARYING)}


def oldest(headers: Mapping[str, str]) -> float:
    """For how many seconds GitHub may not have been asked, by a request's own word (RFC 9111 sections 5.2.1, 5.4)."""
    said = _directives(headers.get("cache-control", headers.get("pragma", "")))
    if "no-cache" in said:
        return 0.0
    seconds = _SECONDS.fullmatch(said.get("max-age", ""))
    return float(seconds[1]) if seconds else math.inf


def may_be_fresh(headers: Mapping[str, str]) -> bool:
    """Whether an answer may be served again without asking GitHub at all (RFC 9111 sections 4.1, 5.2.2)."""
    said = _directives(headers.get("cache-control", ""))
    lifetime = _SECONDS.fullmatch(said.get("s-maxage", said.get("max-age", "")))
    spent = lifetime is not None and int(lifetime[1]) == 0
    return not ("no-cache" in said or spent or "*" in headers.get("vary", ""))


def _directives(cache_control: str) -> dict[str, str]:
    parts = (part.strip().partition("=") for part in cache_control.lower().split(","))
    return {name.strip(): value.strip() for name, _, value in parts}


def upstream_user_agent(version: str, client: str = "") -> str:
    """What the node calls itself to GitHub; `client` is the caller's own User-Agent, passed on behind it.

    GitHub pretty-prints JSON for agents with the words curl, Wget, Safari or Firefox after it has computed the
    ETag, so such bytes do not hash to their tag; the words are respelled
    (bored-engineer/github-conditional-http-transport, user_agent.go).
    """
    for word in _PRETTY_PRINTED_FOR:
        client = client.replace(word, word.swapcase())
    return f"p2pcache/{version} {client}".rstrip()
