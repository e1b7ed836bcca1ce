"""GitHub's ETag, computed for any caller: the rule behind free proof. ``docs/etag.md`` has its evidence and limits.

Observed, not documented by GitHub: bored-engineer/github-conditional-http-transport (hash.go), and recorded answers of
api.github.com from 2020 to 2026. `trial` learns whether an upstream follows it.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Literal

from p2pcache.github.tokens import PREFIX, basic_pair

EMPTY_LIST = b"[]"
"""The body whose tag is tried with the first request for a list."""

Vary = tuple[Literal["accept", "authorization", "cookie"], ...]
"""The members of `HASHED` that an answer's ``Vary`` names, in their order."""

HASHED: Vary = ("accept", "authorization", "cookie")
"""The request fields that a tag may cover, in hashing order."""

_TAG = re.compile(r'(?:W/)?"[^"\x00-\x20\x7f]*"|\*')
_DIGEST = re.compile(r'(?:W/)?"[0-9a-f]{64}"')
_OBJECT_ID = re.compile(r'(?:W/)?"[0-9a-f]{40}"')

# As github.com/settings/apps and /settings/developers show them: GitHub Apps Iv1. and Iv23, OAuth apps Ov23 or 20 hex.
_CLIENT_ID = re.compile(r"[0-9a-f]{20}|(?:Iv|Ov)[\w.]{8,40}")
# An App's JWT; not an installation token, which since April 2026 contains one too: ghs_<app id>_<JWT>.
_JWT = re.compile(rf"(?!{PREFIX})[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_DIFF = re.compile(r"application/vnd\.github(?:\.[\w-]+)*\.(?:diff|patch)\b")


class TagKind(enum.StrEnum):
    """The rule behind an answer's tag."""

    HASH = "hash"
    """A SHA-256 over request fields and the body; `computed` returns it for any caller."""
    BLOB = "blob"
    """The git object id of a file whose bytes are the body, equal for every caller; `blob_tag` returns it."""
    OPAQUE = "opaque"
    """Not derivable from the body; GitHub's own tag is valid for the scope that received it."""


def weakly_equal(a: str, b: str) -> bool:
    """Compare two tags weakly (RFC 9110 section 8.8.3.2): GitHub may send the same tag weak."""
    return a.strip().removeprefix("W/") == b.strip().removeprefix("W/")


def parse_tags(if_none_match: str) -> tuple[str, ...]:
    """Return the tags of an ``If-None-Match`` as written, or ``("*",)``; malformed parts are skipped.

    RFC 9110 section 13.1.2.
    """
    return tuple(_TAG.findall(if_none_match))


def is_digest(tag: str) -> bool:
    """Return whether a tag has the form of a computed one: 64 hex digits."""
    return _DIGEST.fullmatch(tag.strip()) is not None


def is_object_id(tag: str | None) -> bool:
    """Return whether a tag has the form of a git object id: 40 hex digits."""
    return tag is not None and _OBJECT_ID.fullmatch(tag.strip()) is not None


def blob_tag(body: bytes) -> str:
    """Return the strong tag, quoted, of a file with these bytes: ``git hash-object``."""
    digest = hashlib.sha1(b"blob %d\0" % len(body), usedforsecurity=False)
    digest.update(body)
    return f'"{digest.hexdigest()}"'


def vary_of(headers: Mapping[str, str]) -> Vary | None:
    """Return the request fields that an answer's tag covers; None if ``Vary`` is missing or ``*``."""
    named = {name.strip().lower() for name in headers.get("vary", "*").split(",")}
    return None if "*" in named else tuple(name for name in HASHED if name in named)


def presumed_vary(authorization: str | None) -> Vary:
    """Return the same before any answer is known: all fields for a token, else ``Accept`` only.

    The latter is for anonymous callers, a GitHub App's JWT, and the client id and secret of an OAuth app.
    """
    scheme, _, rest = (authorization or "").strip().partition(" ")
    match scheme.lower():
        case "bearer" if _JWT.fullmatch(rest.strip()):
            return ("accept",)
        case "basic" if _CLIENT_ID.fullmatch(basic_pair(rest)[0]):
            return ("accept",)
        case "":
            return ("accept",)
        case _:
            return HASHED


def tags(
    headers: Mapping[str, str], vary: Vary | None, content_type: str, body: bytes, *, empty_accept: bool | None = None
) -> tuple[str, ...]:
    """Return the tags that GitHub may assign to a body for a request, likeliest first; empty if no rule is known.

    Args:
        headers: of the request, lower-case names.
        vary: the fields that the answer's tag covers; None before any answer is known.
        content_type: of the answer.
        body: of the answer, uncompressed and not pretty-printed.
        empty_accept: whether GitHub hashes an empty ``Accept``, as gh sends it; None for both forms.
    """
    rendering = rendered(content_type, body)
    if rendering is None:
        return ()
    names = presumed_vary(headers.get("authorization")) if vary is None else vary
    given = [(name, headers[name]) for name in names if name in headers]
    full = tuple(value for _, value in given)
    if ("accept", "") not in given:
        return (computed(full, rendering),)
    short = tuple(value for name, value in given if name != "accept")
    forms = (full, short) if empty_accept is None else (full,) if empty_accept else (short,)
    return tuple(computed(form, rendering) for form in forms)


def rendered(content_type: str, body: bytes) -> bytes | None:
    """Return the bytes of a body that are hashed: JSON as it is, a diff or patch as a JSON string literal.

    None where no tag may be computed: text that is not UTF-8, and bodies that could share a tag with other bytes. A
    body that begins with a quote could be the literal of a diff; one that begins with a colon could be another body
    after an empty ``Accept``. GitHub's JSON begins with neither.
    """
    if not _DIFF.search(content_type):
        return None if body[:1] in (b'"', b":") else body
    try:
        return json.dumps(body.decode(), ensure_ascii=False).encode()
    except UnicodeDecodeError:
        return None


def computed(hashed: tuple[str, ...], rendering: bytes) -> str:
    """Return the strong tag, quoted, over values of request fields, each followed by a colon, and a `rendered` body."""
    digest = hashlib.sha256()
    for value in hashed:
        digest.update(value.encode("utf-8", "surrogateescape") + b":")
    digest.update(rendering)
    return f'"{digest.hexdigest()}"'
