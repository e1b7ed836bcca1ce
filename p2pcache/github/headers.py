"""Header fields: which are cached with a body, which end at each hop, and this node's User-Agent."""

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
"""Lower-case response fields of a block: those that are equal for all callers.

Excluded are fields that depend on the token (x-oauth-scopes, x-accepted-*, x-ratelimit-*, etag) or the moment (date,
x-github-request-id), and those of the pointer (etag, last-modified, link).
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
"""Fields of a connection rather than the message: RFC 9110 section 7.6.1, RFC 2616 section 13.5.1 for older ones."""

_JSON = re.compile(r"application/(?:json|vnd\.github(?:\.v[0-9]+)?(?:\+json|\.object(?:\+json)?))")
# Fields that change GitHub's answer. `Vary` does not list them all; even X-GitHub-Api-Version, part of every key, is
# missing there. docs.github.com, "Migrating GraphQL global node IDs"; gh sends GraphQL-Features.
VARYING = ("x-github-", "graphql-", "x-requested-with")
OWN_FIELDS = "p2pcache-"
"""Fields between a client and this node, which are nobody else's business."""
_KEYED = frozenset({"x-github-api-version"})
_SENT = frozenset({"accept", "authorization", "content-type", "cookie"})
_SECONDS = re.compile(r'"?([0-9]{1,10})"?')
_PRETTY_PRINTED_FOR = ("curl", "Wget", "Safari", "Firefox")


FRAMING = frozenset({b"content-length", b"host", b"transfer-encoding"})
"""Fields that frame and route a request; each hop writes its own, whatever ``Connection`` lists."""

_HOP_BY_HOP = frozenset(name.encode() for name in HOP_BY_HOP)


def end_to_end(lines: Iterable[tuple[bytes, bytes]], kept: frozenset[bytes] = frozenset()) -> list[tuple[bytes, bytes]]:
    """Return header lines without `HOP_BY_HOP` and the fields that ``Connection`` lists, except `kept`.

    Names are lower-case. RFC 9110 section 7.6.1.
    """
    lines = list(lines)
    named = b",".join(value for name, value in lines if name == b"connection").lower().split(b",")
    gone = (_HOP_BY_HOP | {name.strip() for name in named}) - kept
    return [line for line in lines if line[0] not in gone]


def is_json(content_type: str) -> bool:
    """Return whether a ``Content-Type`` is that of GitHub's JSON, in which URLs may be rewritten.

    Files, diffs and renderings are not, although ``application/vnd.github.raw+json`` ends like JSON
    (docs.github.com, "Media types").
    """
    return _JSON.fullmatch(content_type.partition(";")[0].strip().lower()) is not None


def varying(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the request fields, sorted, on which GitHub's answer may depend, except those that are in every key."""
    return tuple(sorted(line for line in headers.items() if line[0].startswith(VARYING) and line[0] not in _KEYED))


def forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the request fields of a cacheable read that go to GitHub: no other may affect a shared answer."""
    return {name: value for name, value in headers.items() if name in _SENT or name.startswith(VARYING)}


def oldest(headers: Mapping[str, str]) -> float:
    """Return the greatest age in seconds that a request accepts (RFC 9111 sections 5.2.1, 5.4); infinite by default."""
    directives = _directives(headers.get("cache-control", headers.get("pragma", "")))
    if "no-cache" in directives:
        return 0.0
    seconds = _SECONDS.fullmatch(directives.get("max-age", ""))
    return float(seconds[1]) if seconds else math.inf


def may_be_fresh(headers: Mapping[str, str]) -> bool:
    """Return whether an answer may be served without revalidation (RFC 9111 sections 4.1, 5.2.2)."""
    directives = _directives(headers.get("cache-control", ""))
    lifetime = _SECONDS.fullmatch(directives.get("s-maxage", directives.get("max-age", "")))
    spent = lifetime is not None and int(lifetime[1]) == 0
    return not ("no-cache" in directives or spent or "*" in headers.get("vary", ""))


def _directives(cache_control: str) -> dict[str, str]:
    parts = (part.strip().partition("=") for part in cache_control.lower().split(","))
    return {name.strip(): value.strip() for name, _, value in parts}


def upstream_user_agent(version: str, client: str = "") -> str:
    """Return the node's User-Agent; `client` is the caller's own, appended.

    For agents with the words curl, Wget, Safari or Firefox GitHub pretty-prints JSON after computing the ETag, so such
    bytes do not match their tag; the case of these words is swapped
    (bored-engineer/github-conditional-http-transport, user_agent.go).
    """
    for word in _PRETTY_PRINTED_FOR:
        client = client.replace(word, word.swapcase())
    return f"p2pcache/{version} {client}".rstrip()
