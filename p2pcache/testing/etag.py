"""GitHub's validators, written apart from `p2pcache.github` so that one can be the oracle for the other.

The rule is undocumented; ``docs/etag.md`` says what it rests on.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

FOR_TOKENS = ("accept", "authorization", "cookie")
FOR_OTHERS = ("accept",)
"""What is hashed for anonymous callers, an App's JWT, and an OAuth app's client id and secret."""

_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def entity_tag(headers: Iterable[tuple[str, str]], body: bytes, *, token: bool, text: bool = False) -> str:
    """The opaque part of the ETag, 64 hex digits.

    Every value of the fields that ``Vary`` names is hashed followed by ``:``, a present but empty one too; then the
    JSON of the answer, before content coding and before pretty-printing.

    Args:
        headers: of the request.
        body: of the answer.
        token: the caller sent a token that GitHub knows.
        text: the body is a diff or a patch, which is hashed as a JSON string literal.
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
    """Weak comparison of a list of entity tags, or ``*``, with the opaque part of one (RFC 9110 section 13.1.2)."""
    return if_none_match.strip() == "*" or tag in _TAG.findall(if_none_match)
