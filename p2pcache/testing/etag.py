"""GitHub's validators, independent of `p2pcache.github` so that each can be the oracle of the other.

The rule is undocumented; ``docs/etag.md`` has the evidence.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

FOR_TOKENS = ("accept", "authorization", "cookie")
FOR_OTHERS = ("accept",)
"""The fields hashed for anonymous callers, an App's JWT, and an OAuth app's client id and secret."""

_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def entity_tag(headers: Iterable[tuple[str, str]], body: bytes, *, token: bool, text: bool = False) -> str:
    """Return the opaque part of the ETag, 64 hex digits.

    Each value of the fields that ``Vary`` names is hashed, followed by ``:``, even if it is empty; then the JSON of the
    answer, before content coding and pretty-printing.

    Args:
        headers: of the request.
        body: of the answer.
        token: whether the caller sent a token that GitHub knows.
        text: whether the body is a diff or patch, which is hashed as a JSON string literal.
    """
    pairs = [(name.lower(), value) for name, value in headers]
    digest = hashlib.sha256()
    for hashed in FOR_TOKENS if token else FOR_OTHERS:
        for name, value in pairs:
            if name == hashed:
                digest.update(value.encode("utf-8", "surrogateescape") + b":")
    digest.update(json.dumps(body.decode(), ensure_ascii=False).encode() if text else body)
    return digest.hexdigest()


def matches(if_none_match: str, tag: str) -> bool:
    """Compare a list of entity tags, or ``*``, weakly with the opaque part of one (RFC 9110 section 13.1.2)."""
    return if_none_match.strip() == "*" or tag in _TAG.findall(if_none_match)
