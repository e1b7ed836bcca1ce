"""From an entry to the bytes of an HTTP answer (RFC 9110, RFC 9111 section 5.1, RFC 9211)."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime

from p2pcache.cache.answer import Cached
from p2pcache.cache.decide import UNPROVEN, Rule
from p2pcache.cache.entry import Entry
from p2pcache.cache.memory import Memory
from p2pcache.gateway import head
from p2pcache.gateway.head import Line
from p2pcache.gateway.routing import Upstreams
from p2pcache.github import etag, links
from p2pcache.github.headers import is_json

GZIP_FROM = 1024
"""Bytes; below it, gzip saves nothing that a packet would notice."""
GZIP_TO = 256 << 10
"""Bytes; above it, packing would hold up the event loop for milliseconds, for a client that is next door."""
GZIP_LEVEL = 1

_WHY: dict[str, str] = {
    Rule.FETCH_COLD: "uri-miss",
    Rule.PROVE_OTHER: "uri-miss",
    Rule.NOT_TOLD: "uri-miss",
    Rule.PROVE_FRESH: "request",
}
"""RFC 9211 section 2.2."""
_OF_A_BODY = frozenset({b"content-length", b"content-type", b"content-encoding"})
_REPRESENTATION = frozenset({b"content-encoding", b"content-length", b"etag", b"last-modified", b"link", b"location"})
"""Fields that the entry answers for, not the response it came with or was proved by."""


@dataclass(frozen=True, slots=True)
class View:
    """How one client wants an entry: `base` is where it thinks the API is ("" for GitHub's own URLs)."""

    base: str = ""
    gzip: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry as one client sees it: the fields that do not change while the entry lives, and the body."""

    status: int
    lines: tuple[Line, ...]
    body: bytes
    etag: str | None
    last_modified: str | None


def show(entry: Entry, view: View, tag: str | None, memory: Memory, upstreams: Upstreams) -> Shown:
    """Render `entry` for `view`; `tag` is the validator the client may use for it."""
    pointer, block = entry.pointer, entry.block
    packs = view.gzip and GZIP_FROM <= len(block.body) <= GZIP_TO and _json(entry)
    body = _variant(entry, view.base, memory, upstreams, packs=packs)
    if tag and body is not block.body:
        tag = tag if tag.startswith("W/") else f"W/{tag}"  # not the bytes the tag was made for (RFC 9110, 8.8.1)
    named = [(n, rebased(v, view.base, upstreams) if n == "location" else v) for n, v in block.headers]
    optional = {
        "link": rebased(pointer.link or "", view.base, upstreams),
        "etag": tag,
        "last-modified": pointer.last_modified,
        "content-encoding": "gzip" if packs else None,
    }
    named += [(name, value) for name, value in optional.items() if value]
    named += [
        ("vary", "Accept, Authorization, Cookie, Accept-Encoding, X-GitHub-Api-Version"),
        ("cache-control", "private, max-age=0, must-revalidate"),
        ("date", formatdate(pointer.proved_at, usegmt=True)),
        ("content-length", str(len(body))),
    ]
    lines = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in named)
    return Shown(block.status, lines, body, tag, pointer.last_modified)


def with_github(shown: Shown, github: Iterable[Line]) -> list[Line]:
    """Return the lines of an answer just fetched: GitHub's, except those that describe the body as shown."""
    ours = {name for name, _ in shown.lines} - {b"vary", b"cache-control", b"date"}
    theirs = [line for line in github if line[0] not in ours and line[0] not in _REPRESENTATION]
    given = {name for name, _ in theirs}
    return [*(line for line in shown.lines if line[0] not in given), *theirs]


def without_body(lines: Iterable[Line]) -> list[Line]:
    """Return the lines of a 304 (RFC 9110 section 15.4.5)."""
    return [line for line in lines if line[0] not in _OF_A_BODY]


def weakened(lines: Iterable[Line]) -> list[Line]:
    """Return the lines for a body that is not the bytes its tag was made for (RFC 9110 section 8.8.1)."""
    return [(n, b"W/" + v) if n == b"etag" and not v.startswith(b"W/") else (n, v) for n, v in lines]


def not_modified(shown: Shown, if_none_match: str | None, if_modified_since: str | None = None) -> bool:
    """Return whether the client holds this representation already (RFC 9110 sections 13.1.2, 13.1.3 and 13.2.2)."""
    if shown.status != 200:
        return False
    if if_none_match is not None:
        if if_none_match.strip() == "*":
            return True
        own = shown.etag
        return own is not None and any(etag.weakly_equal(own, tag) for tag in etag.parse_tags(if_none_match))
    if if_modified_since is None or shown.last_modified is None:
        return False
    try:
        return parsedate_to_datetime(shown.last_modified) <= parsedate_to_datetime(if_modified_since)
    except (TypeError, ValueError):  # a date that is none is ignored
        return False


def cache_status(cached: Cached, now: float) -> Line:
    """Return the ``Cache-Status`` line (RFC 9211); an expired entry's ttl is negative (section 2.5)."""
    if cached.hit is not None:
        expires = cached.entry.pointer.expires_at
        ttl = math.floor(expires - now) if expires > UNPROVEN else 0
        return head.cache_status("hit", f"ttl={ttl}", f"detail={cached.hit}")
    stored = ("stored",) if cached.stored else ()
    return head.cache_status(*forwarded(cached.rule, cached.forwarded or 200), *stored)


def forwarded(rule: str, status: int) -> tuple[str, str]:
    """Return why GitHub was asked, and its status: parameters of `head.cache_status`."""
    return f"fwd={_WHY.get(rule, 'stale')}", f"fwd-status={status}"


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Return whether gzip is acceptable (RFC 9110 section 12.5.3); what names it counts for more than ``*``."""
    weights: dict[str, float] = {}
    for item in (accept_encoding or "").lower().split(","):
        coding, _, parameter = item.partition(";")
        name, _, value = parameter.partition("=")
        try:
            weights[coding.strip()] = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def rebased(value: str, base: str, upstreams: Upstreams) -> str:
    """Return a `Link` or `Location` whose URLs stay on the gateway, for a client that knows it as `base`."""
    if base:
        for old in upstreams.bases:
            value = links.rewrite(value, old, base)
    return value


def _variant(entry: Entry, base: str, memory: Memory, upstreams: Upstreams, *, packs: bool) -> bytes:
    """Return the body as wanted, made once and stored beside the entry within the memory's bound."""
    body = entry.block.body
    if not packs and not (base and _json(entry)):
        return body
    key = (base, packs)
    made = entry.variants.get(key)
    if made is None:
        made = links.rewrite_body(body, upstreams.bases, base) if base else body
        if made == body and not packs:
            return body
        if packs:
            made = _gzip(made)
        if entry.alive and memory.grow(entry, len(made)):
            entry.variants[key] = made
    return made


def _json(entry: Entry) -> bool:
    return any(name == "content-type" and is_json(value) for name, value in entry.block.headers)


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()
