"""Each scope's quota: as GitHub's answers to this node show it, and apart from that as members report it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

from p2pcache.cache.answer import RateLimited
from p2pcache.cache.decide import Rule
from p2pcache.github import quota
from p2pcache.github.quota import Advice, Bucket

MAX_BUCKETS = 1024

_Key = tuple[str, str]


class Buckets:
    """Rate limit buckets by (scope, GitHub's resource), and until when GitHub asked each scope to wait.

    A member may report anything, so its reports make a node more sparing and nothing else: to refuse a request, or to
    serve an expired entry, takes an answer of GitHub's to this node.
    """

    def __init__(self, clock: Callable[[], float], changed: Callable[[str, Bucket], None] | None = None) -> None:
        self._clock = clock
        self._changed = changed
        self._observed: OrderedDict[_Key, Bucket] = OrderedDict()
        self._reported: OrderedDict[_Key, Bucket] = OrderedDict()
        self._shown: dict[_Key, tuple[Bucket, bytes]] = {}
        self._waits: OrderedDict[str, float] = OrderedDict()

    def observe(self, scope: str, headers: Mapping[str, str]) -> None:
        """Record the ``x-ratelimit-*`` headers of an answer to this node."""
        bucket = quota.from_headers(headers)
        if bucket is not None and self._record(self._observed, scope, bucket) and self._changed:
            self._changed(scope, bucket)

    def learn(self, scope: str, bucket: Bucket) -> bool:
        """Record a bucket that a member reports; return whether that was news."""
        return self._record(self._reported, scope, bucket)

    def _record(self, buckets: OrderedDict[_Key, Bucket], scope: str, bucket: Bucket) -> bool:
        now = self._clock()
        if not quota.credible(bucket, now):
            return False
        key = (scope, bucket.resource)
        before = self._newest(key)
        # A bucket that has been reset, or that the present clock makes incredible, gives way to the new one.
        old = buckets.get(key)
        buckets[key] = quota.merge(old if old and quota.credible(old, now) else None, bucket)
        buckets.move_to_end(key)
        if len(buckets) > MAX_BUCKETS:
            self._render(buckets.popitem(last=False)[0])
        self._render(key)
        return self._newest(key) != before

    def _newest(self, key: _Key) -> Bucket | None:
        """Return the newest of both sources."""
        observed, reported = self._observed.get(key), self._reported.get(key)
        return quota.merge(observed, reported) if reported else observed

    def _render(self, key: _Key) -> None:
        """Render the lines for clients; a spent bucket only if GitHub reported it, since clients wait for its reset."""
        newest = self._newest(key)
        shown = newest if newest and newest.remaining else self._observed.get(key)
        if shown is None:
            self._shown.pop(key, None)
        else:
            self._shown[key] = shown, _lines(shown)

    def refused(self, scope: str, status: int, headers: Mapping[str, str], body: bytes) -> bool:
        """Return whether an answer is a limit's refusal; record until when the whole scope has to wait, if so."""
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
        """Return until when GitHub asked this scope to wait, in Unix seconds, or None."""
        until = self._waits.get(scope)
        if until is None or until <= self._clock():
            return None
        return until

    def wait_refusal(self, scope: str) -> RateLimited | None:
        """Return GitHub's refusal, made here, while it asked this scope to wait; else None."""
        until = self.wait_until(scope)
        if until is None:
            return None
        status, headers, body = quota.wait_refusal(until, self._clock())
        return RateLimited(status, tuple(headers), body, Rule.REFUSE_LIMIT)

    def get(self, scope: str, resource: str) -> Bucket | None:
        """Return the bucket as GitHub last reported it to this node; None when its reset has passed."""
        bucket = self._observed.get((scope, resource))
        return bucket if bucket and bucket.reset > self._clock() else None

    def advice(self, scope: str, resource: str) -> Advice:
        """Return how sparing to be with this scope's quota."""
        now = self._clock()
        own = quota.advise(self._observed.get((scope, resource)), now)
        reported = quota.advise(self._reported.get((scope, resource)), now)
        return Advice(max(own.stretch, reported.stretch), own.serve_stale, own.refuse)

    def lines(self, scope: str, resource: str) -> bytes:
        """Return ``x-ratelimit-*`` header lines for a hit, ready to send; empty when no bucket is known."""
        shown = self._shown.get((scope, resource))
        return shown[1] if shown and shown[0].reset > self._clock() else b""

    def __iter__(self) -> Iterator[tuple[str, Bucket]]:
        return iter([(key[0], bucket) for key in {**self._observed, **self._reported} if (bucket := self._newest(key))])


def _lines(bucket: Bucket) -> bytes:
    pairs = (
        ("limit", bucket.limit),
        ("remaining", bucket.remaining),
        ("reset", bucket.reset),
        ("used", bucket.limit - bucket.remaining),
        ("resource", bucket.resource),
    )
    return "".join(f"x-ratelimit-{name}: {value}\r\n" for name, value in pairs).encode()
