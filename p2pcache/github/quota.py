"""GitHub's rate limits: the remainder that answers report, and the reaction as it runs out.

Source of the limits and headers: docs.github.com, "Rate limits for the REST API" and "Rate limits and query limits for
the GraphQL API".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

MAX_CONCURRENT = 100
"""Concurrent requests that GitHub allows (secondary limit); REST and GraphQL share it."""

SECONDARY_WAIT = 60.0
"""Seconds to wait after a refusal without a time: GitHub's documentation asks for at least a minute."""

MAX_WAIT = 3660.0
"""The longest credible wait in seconds: windows are an hour."""

EASY = 0.5
"""The remaining fraction above which nothing changes."""

SCARCE = 0.1
"""The remaining fraction below which stale answers are served."""

MAX_STRETCH = 10.0

_WINDOW = 3600.0
_WINDOWS = {"search": 60.0, "code_search": 60.0}
_AHEAD = MAX_WAIT - _WINDOW
"""Seconds by which GitHub's clock may be ahead."""
_JSON = ("content-type", "application/json; charset=utf-8")
_RESOURCE = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Bucket:
    """One of a token's limits as GitHub last reported it; `reset` is in Unix seconds of GitHub's clock."""

    resource: str
    limit: int
    remaining: int
    reset: int


@dataclass(frozen=True, slots=True)
class Advice:
    """The consequence of a bucket: the factor for lifetimes, whether to serve stale, whether to refuse."""

    stretch: float = 1.0
    serve_stale: bool = False
    refuse: bool = False


def from_headers(headers: Mapping[str, str]) -> Bucket | None:
    """Return the bucket that an answer was charged to; None without these headers (GHES: limits off by default)."""
    try:
        limit, remaining, reset = (int(headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset"))
    except (KeyError, ValueError):
        return None
    if limit <= 0 or not 0 <= remaining <= limit or reset < 0:
        return None
    return Bucket(headers.get("x-ratelimit-resource", "core"), limit, remaining, reset)


def credible(bucket: Bucket, now: float) -> bool:
    """Return whether GitHub can have reported this bucket at `now`; for reports of peers."""
    ahead = _WINDOWS.get(bucket.resource, _WINDOW) + _AHEAD
    return (
        0 <= bucket.remaining <= bucket.limit
        and bucket.limit > 0
        and now < bucket.reset <= now + ahead
        and _RESOURCE.fullmatch(bucket.resource) is not None
    )


def merge(old: Bucket | None, new: Bucket) -> Bucket:
    """Merge two buckets of a resource: the later window counts, within one window the lower remainder.

    Answers overtake each other, so the last to arrive is not the newest.
    """
    if old is None or new.reset > old.reset:
        return new
    return new if new.reset == old.reset and new.remaining < old.remaining else old


def charged(status: int, authorised: bool, path: str) -> bool:
    """Return whether GitHub counts an answer to `path` (no query) against the primary limit.

    It counts all except ``/rate_limit`` and, for a request with a credential, a 304 and a 401: an invalid credential
    has no limit to count against.
    """
    return path != "/rate_limit" and not (authorised and status in (304, 401))


def advise(bucket: Bucket | None, now: float) -> Advice:
    """Return how sparingly to use the remaining quota.

    Let f be the remaining fraction. From `EASY` up, or while f is not below the remaining fraction of the window
    (spending is on pace), nothing changes. Below, lifetimes stretch by ``EASY / f``, continuously from 1 at a half
    over 5 at a tenth to `MAX_STRETCH`; below `SCARCE`, stale answers are served and marked; at 0 nothing is sent.
    """
    if bucket is None or now >= bucket.reset:
        return Advice()
    if bucket.remaining == 0:
        return Advice(MAX_STRETCH, serve_stale=True, refuse=True)
    left = bucket.remaining / bucket.limit
    to_come = (bucket.reset - now) / _WINDOWS.get(bucket.resource, _WINDOW)
    if left >= EASY or left >= to_come:
        return Advice()
    return Advice(min(EASY / left, MAX_STRETCH), serve_stale=left < SCARCE)


def blocked_until(status: int, headers: Mapping[str, str], body: bytes, now: float) -> float | None:
    """Return the Unix seconds until which this token must wait, or None if the answer reports no exceeded limit.

    In GitHub's order: ``retry-after``; then ``x-ratelimit-reset`` if nothing remains; then a minute for a secondary
    limit. GraphQL reports it with status 200 and an error.
    """
    if status == 200:
        refused = _graphql_refused(body)
    else:
        refused = status == 429 or (status == 403 and _rest_refused(headers, body))
    if not refused:
        return None
    after = headers.get("retry-after", "")
    if after.isdecimal():
        return now + min(float(after[:9]), MAX_WAIT)
    bucket = from_headers(headers)
    if bucket and bucket.remaining == 0:
        return min(max(float(bucket.reset), now + 1), now + MAX_WAIT)
    return now + SECONDARY_WAIT


def refusal(bucket: Bucket, now: float) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return GitHub's answer to a request beyond the primary limit, which clients know how to handle.

    Returns:
        Status, header fields (lower-case names) without ``date``, and body.
    """
    reset = max(bucket.reset, math.floor(now) + 1)
    wait = f"its limit resets in {reset - now:.0f} s"
    body = msgspec.json.encode(
        {
            "message": f"API rate limit exceeded: p2pcache did not ask GitHub, {wait}.",
            "documentation_url": "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api",
            "status": "403",
        }
    )
    fields = [
        _JSON,
        ("x-ratelimit-limit", str(bucket.limit)),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-used", str(bucket.limit)),
        ("x-ratelimit-reset", str(reset)),
        ("x-ratelimit-resource", bucket.resource),
    ]
    return 403, fields, body


def wait_refusal(until: float, now: float) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return GitHub's answer to a request beyond a secondary limit, with a retry at `until`, Unix seconds.

    Clients recognise this limit by its message and link (octokit/plugin-throttling.js searches "secondary rate") and
    obey ``retry-after``.

    Returns:
        As `refusal`.
    """
    wait = max(1, math.ceil(until - now))
    body = msgspec.json.encode(
        {
            "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. "
            f"(p2pcache did not ask GitHub: it said to wait, {wait} s more.)",
            "documentation_url": "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api"
            "#about-secondary-rate-limits",
            "status": "403",
        }
    )
    fields = [_JSON, ("retry-after", str(wait))]
    return 403, fields, body


class _Message(msgspec.Struct):
    message: str = ""
    documentation_url: str = ""


class _Error(msgspec.Struct):
    type: str | None = None
    message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []
    message: str = ""


def _rest_refused(headers: Mapping[str, str], body: bytes) -> bool:
    if "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0":
        return True
    try:
        error = msgspec.json.decode(body, type=_Message)
    except (msgspec.DecodeError, RecursionError):
        return False
    return _secondary(error.message) or error.documentation_url.endswith(("rate-limits", "#abuse-rate-limits"))


def _graphql_refused(body: bytes) -> bool:
    if b"rate" not in body.lower():
        return False
    try:
        answer = msgspec.json.decode(body, type=_Errors)
    except (msgspec.DecodeError, RecursionError):
        return False
    return _secondary(answer.message) or any(
        error.type in {"RATE_LIMITED", "RATE_LIMIT"} or (not error.type and _secondary(error.message))
        for error in answer.errors
    )


def _secondary(message: str) -> bool:
    # Only at the beginning: further on, an error may quote the caller.
    return message.startswith(("You have exceeded a secondary rate limit", "You have triggered an abuse detection"))
