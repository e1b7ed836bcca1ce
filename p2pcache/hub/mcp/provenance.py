"""Where an answer is from, how old it is, how long it stays fresh, and what it cost: from its header fields alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from p2pcache.github.quota import charged, from_headers

LIFETIME = "p2pcache-ttl"
"""The node's answer to `ASK_RULE`: seconds that what it fetched stays fresh."""
GITHUB, NODE = "github", "node"
"""Sources beside the ``detail`` of a hit (docs/interface.md#the-gateway)."""

_NOT_FROM_GITHUB = frozenset({"quota", "upstream", "refused", "error", "control"})
_REVALIDATED = "revalidated"


def provenance(headers: Mapping[str, str], path: str, *, authorised: bool) -> dict[str, Any]:
    """Return source, age_s, fresh_for_s, charged and, where it is known, quota.

    Args:
        headers: of the answer, lower-case names.
        path: of the API, without query.
        authorised: whether the request had a credential, which makes a 304 free of charge.
    """
    status = headers.get("cache-status", "")
    detail = _parameter(status, "detail")
    hit = "; hit" in status
    found: dict[str, Any] = {
        "source": (detail or "cache") if hit else NODE if detail in _NOT_FROM_GITHUB else GITHUB,
        "age_s": _seconds(headers.get("age", "")) if hit else 0,
        "fresh_for_s": _seconds(_parameter(status, "ttl") if hit else headers.get(LIFETIME, "")),
        "charged": _charged(status, detail, path, hit=hit, authorised=authorised),
    }
    if bucket := from_headers(headers):
        found["quota"] = {
            "resource": bucket.resource[:64],
            "limit": bucket.limit,
            "remaining": bucket.remaining,
            "reset": bucket.reset,
        }
    return found


def _charged(status: str, detail: str, path: str, *, hit: bool, authorised: bool) -> int:
    if hit:
        return int(detail == _REVALIDATED and charged(304, authorised, path))
    forwarded = _parameter(status, "fwd-status")
    return int(forwarded.isdigit() and charged(int(forwarded), authorised, path))


def _parameter(status: str, name: str) -> str:
    found = re.search(rf"; {name}=([a-z0-9-]{{1,32}})", status)
    return found[1] if found else ""


def _seconds(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0
