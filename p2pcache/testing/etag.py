"""GitHub's validators, written apart from `p2pcache.github` so that one can be the oracle for the other.

The rule is undocumented; it was observed by github.com/bored-engineer/github-conditional-http-transport (`hash.go`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

HASHED = ("accept", "authorization", "cookie")
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def entity_tag(headers: Iterable[tuple[str, str]], body: bytes) -> str:
    """The opaque part of the ETag, 64 hex digits.

    Every value of `Accept`, `Authorization` and `Cookie`, in that order, is hashed followed by ``:``, a present but
    empty one too; then the body before content coding and before pretty-printing.
    """
    pairs = [(name.lower(), value) for name, value in headers]
    digest = hashlib.sha256()
    for hashed in HASHED:
        for name, value in pairs:
            if name == hashed:
                digest.update(value.encode("utf-8", "surrogateescape") + b":")
    digest.update(body)
    return digest.hexdigest()


def matches(if_none_match: str, tag: str) -> bool:
    """Weak comparison of a list of entity tags, or ``*``, with the opaque part of one (RFC 9110 section 13.1.2)."""
    return if_none_match.strip() == "*" or tag in _TAG.findall(if_none_match)
