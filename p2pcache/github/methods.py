"""HTTP methods: which may be made again, which change something, and their names in statistics."""

from __future__ import annotations

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing and may be made again (RFC 9110 section 9.2.1)."""
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
"""Methods by which GitHub's API is changed."""
METHODS = SAFE | WRITES


def label(method: str) -> str:
    """Return the method's name for statistics, ``OTHER`` for those that a client may have made up."""
    return method if method in METHODS else "OTHER"
