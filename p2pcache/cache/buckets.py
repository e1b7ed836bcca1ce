"""What is known of each caller's quota, from the newest answer anybody saw."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

from p2pcache.github import quota
from p2pcache.github.quota import Advice, Bucket

MAX_BUCKETS = 1024
MAX_AHEAD = 2 * 3600.0
"""Seconds: windows are an hour, so a reset further away is a clock gone wrong, not a reason to wait."""

_RESOURCE = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Buckets:
    """Rate limit buckets by (scope, GitHub's resource), and who was asked to wait until when."""

    def __init__(self, clock: Callable[[], float], changed: Callable[[str, Bucket], None] | None = None) -> None:
        self._clock = clock
        self._changed = changed
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()
        self._lines: dict[tuple[str, str], bytes] = {}
        self._waits: OrderedDict[str, float] = OrderedDict()

    def observe(self, scope: str, headers: Mapping[str, str]) -> None:
        """Learn from an answer's ``x-ratelimit-*`` headers."""
        bucket = quota.from_headers(headers)
        if bucket is not None and self.learn(scope, bucket) and self._changed:
            self._changed(scope, bucket)

    def learn(self, scope: str, bucket: Bucket) -> bool:
        """Take in a bucket somebody saw, if it makes sense; whether that was news."""
        if bucket.reset > self._clock() + MAX_AHEAD or not _RESOURCE.fullmatch(bucket.resource):
            return False
        key = (scope, bucket.resource)
        old = self._buckets.get(key)
        new = quota.merge(old, bucket) if old else bucket
        if new == old:
            return False
        self._buckets[key] = new
        self._buckets.move_to_end(key)
        self._lines[key] = _lines(new)
        if len(self._buckets) > MAX_BUCKETS:
            self._lines.pop(self._buckets.popitem(last=False)[0])
        return True

    def refused(self, scope: str, status: int, headers: Mapping[str, str], body: bytes) -> bool:
        """Learn from an answer that it was a limit's refusal: nobody of this scope asks again before its time."""
        until = quota.blocked_until(status, headers, body, self._clock())
        if until is None:
            return False
        bucket = quota.from_headers(headers)
        if bucket is not None and bucket.remaining == 0:
            return True  # the primary limit: `advice` refuses for this one resource, others may still be asked
        self._waits[scope] = max(until, self._waits.get(scope, 0.0))
        self._waits.move_to_end(scope)
        if len(self._waits) > MAX_BUCKETS:
            self._waits.popitem(last=False)
        return True

    def wait_until(self, scope: str) -> float | None:
        """Unix seconds until which GitHub asked this scope to wait, or None."""
        until = self._waits.get(scope)
        if until is None or until <= self._clock():
            return None
        return until

    def get(self, scope: str, resource: str) -> Bucket | None:
        """The bucket as last seen; one whose reset has passed says nothing any more."""
        bucket = self._buckets.get((scope, resource))
        return bucket if bucket and bucket.reset > self._clock() else None

    def advice(self, scope: str, resource: str) -> Advice:
        """How sparing to be."""
        return quota.advise(self.get(scope, resource), self._clock())

    def lines(self, scope: str, resource: str) -> bytes:
        """Header lines ``x-ratelimit-*`` for a hit, ready to send; empty when nothing is known."""
        return self._lines.get((scope, resource), b"") if self.get(scope, resource) else b""

    def __iter__(self) -> Iterator[tuple[str, Bucket]]:
        return iter([(scope, bucket) for (scope, _), bucket in self._buckets.items()])


def _lines(bucket: Bucket) -> bytes:
    pairs = (
        ("limit", bucket.limit),
        ("remaining", bucket.remaining),
        ("reset", bucket.reset),
        ("used", bucket.limit - bucket.remaining),
        ("resource", bucket.resource),
    )
    return "".join(f"x-ratelimit-{name}: {value}\r\n" for name, value in pairs).encode()
