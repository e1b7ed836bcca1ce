"""From an entry to the bytes of an HTTP answer (RFC 9110, RFC 9111 section 5.1, RFC 9211)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from email.utils import formatdate

from p2pcache.cache.entry import Entry
from p2pcache.cache.memory import Memory
from p2pcache.gateway.routing import Upstreams
from p2pcache.github import etag, links

GZIP_FROM = 1024
"""Bytes; below it, gzip saves nothing that a packet would notice."""
GZIP_TO = 256 << 10
"""Bytes; above it, packing would hold up the event loop for milliseconds, for a client that is next door."""
GZIP_LEVEL = 1

Line = tuple[bytes, bytes]


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


def show(entry: Entry, view: View, tag: str | None, memory: Memory, upstreams: Upstreams) -> Shown:
    """Render `entry` for `view`; `tag` is the validator the client may use for it."""
    pointer, block = entry.pointer, entry.block
    body = _variant(entry, view, memory, upstreams)
    packed = view.gzip and body[:2] == b"\x1f\x8b" and block.body[:2] != b"\x1f\x8b"
    if tag and body is not block.body:
        tag = tag if tag.startswith("W/") else f"W/{tag}"  # not the bytes the tag was made for (RFC 9110, 8.8.1)
    lines: list[Line] = []
    for name, value in block.headers:
        shown = _rebase(value, view, upstreams) if name == "location" else value
        lines.append((name.encode("latin-1"), shown.encode("latin-1")))
    if pointer.link:
        lines.append((b"link", _rebase(pointer.link, view, upstreams).encode("latin-1")))
    if tag:
        lines.append((b"etag", tag.encode("latin-1")))
    if pointer.last_modified:
        lines.append((b"last-modified", pointer.last_modified.encode("latin-1")))
    if packed:
        lines.append((b"content-encoding", b"gzip"))
    lines += [
        (b"vary", b"Accept, Authorization, Cookie, Accept-Encoding, X-GitHub-Api-Version"),
        (b"cache-control", b"private, max-age=0, must-revalidate"),
        (b"date", formatdate(pointer.proved_at, usegmt=True).encode()),
        (b"content-length", b"%d" % len(body)),
    ]
    return Shown(block.status, tuple(lines), body, tag)


def not_modified(shown: Shown, if_none_match: str | None) -> bool:
    """Whether the client holds this representation already (RFC 9110 section 13.1.2)."""
    if if_none_match is None or shown.status != 200:
        return False
    if if_none_match.strip() == "*":
        return True
    own = shown.etag
    return own is not None and any(etag.weakly_equal(own, tag) for tag in etag.parse_tags(if_none_match))


def _variant(entry: Entry, view: View, memory: Memory, upstreams: Upstreams) -> bytes:
    """The body for `view`, made once and kept beside the entry within the memory's bound."""
    body = entry.block.body
    packs = view.gzip and GZIP_FROM <= len(body) <= GZIP_TO and _text(entry)
    if not packs and not view.base:
        return body
    key = (view.base, packs)
    made = entry.variants.get(key)
    if made is None:
        made = body
        if view.base and _text(entry):
            made = links.rewrite_body(body, upstreams.bases, view.base)
        if packs:
            made = _gzip(made)
        if made is body:
            return body
        if entry.alive and memory.grow(entry, len(made)):
            entry.variants[key] = made
    return made


def _text(entry: Entry) -> bool:
    return any(name == "content-type" and "json" in value for name, value in entry.block.headers)


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def _rebase(value: str, view: View, upstreams: Upstreams) -> str:
    if not view.base:
        return value
    for base in upstreams.bases:
        value = links.rewrite(value, base, view.base)
    return value


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether gzip is acceptable (RFC 9110 section 12.5.3)."""
    if not accept_encoding:
        return False
    for item in accept_encoding.lower().split(","):
        coding, _, parameters = item.strip().partition(";")
        if coding.strip() in ("gzip", "*"):
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
