"""What is known of each caller's quota: from GitHub's answers to this node, and apart from it what members say."""

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
    """Rate limit buckets by (scope, GitHub's resource), and who was asked to wait until when.

    A member can say what it likes, so hearsay makes a node more sparing and nothing else: that it refuses a request or
    serves what has expired takes an answer that GitHub gave to this node.
    """

    def __init__(self, clock: Callable[[], float], changed: Callable[[str, Bucket], None] | None = None) -> None:
        self._clock = clock
        self._changed = changed
        self._seen: OrderedDict[_Key, Bucket] = OrderedDict()
        self._heard: OrderedDict[_Key, Bucket] = OrderedDict()
        self._shown: dict[_Key, tuple[Bucket, bytes]] = {}
        self._waits: OrderedDict[str, float] = OrderedDict()

    def observe(self, scope: str, headers: Mapping[str, str]) -> None:
        """Learn from an answer's ``x-ratelimit-*`` headers."""
        bucket = quota.from_headers(headers)
        if bucket is not None and self._note(self._seen, scope, bucket) and self._changed:
            self._changed(scope, bucket)

    def learn(self, scope: str, bucket: Bucket) -> bool:
        """Take in a bucket a member says it saw; whether that was news."""
        return self._note(self._heard, scope, bucket)

    def _note(self, known: OrderedDict[_Key, Bucket], scope: str, bucket: Bucket) -> bool:
        now = self._clock()
        if not quota.credible(bucket, now):
            return False
        key = (scope, bucket.resource)
        before = self._newest(key)
        # What is over, or was not even credible by the clock as it is now, does not stand in the way of what is.
        old = known.get(key)
        known[key] = quota.merge(old if old and quota.credible(old, now) else None, bucket)
        known.move_to_end(key)
        if len(known) > MAX_BUCKETS:
            self._show(known.popitem(last=False)[0])
        self._show(key)
        return self._newest(key) != before

    def _newest(self, key: _Key) -> Bucket | None:
        """What is known from anybody."""
        seen, heard = self._seen.get(key), self._heard.get(key)
        return quota.merge(seen, heard) if heard else seen

    def _show(self, key: _Key) -> None:
        """Clients wait for a reset when nothing is left: that is shown to them only if GitHub said so to this node."""
        newest = self._newest(key)
        shown = newest if newest and newest.remaining else self._seen.get(key)
        if shown is None:
            self._shown.pop(key, None)
        else:
            self._shown[key] = shown, _lines(shown)

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

    def wait_refusal(self, scope: str) -> RateLimited | None:
        """Return GitHub's refusal, made here, while it asked this scope to wait; else None."""
        until = self.wait_until(scope)
        if until is None:
            return None
        status, headers, body = quota.wait_refusal(until, self._clock())
        return RateLimited(status, tuple(headers), body, Rule.REFUSE_LIMIT)

    def get(self, scope: str, resource: str) -> Bucket | None:
        """The bucket as GitHub last told this node; one whose reset has passed says nothing any more."""
        bucket = self._seen.get((scope, resource))
        return bucket if bucket and bucket.reset > self._clock() else None

    def advice(self, scope: str, resource: str) -> Advice:
        """How sparing to be."""
        now = self._clock()
        own = quota.advise(self._seen.get((scope, resource)), now)
        heard = quota.advise(self._heard.get((scope, resource)), now)
        return Advice(max(own.stretch, heard.stretch), own.serve_stale, own.refuse)

    def lines(self, scope: str, resource: str) -> bytes:
        """Header lines ``x-ratelimit-*`` for a hit, ready to send; empty when nothing is known."""
        shown = self._shown.get((scope, resource))
        return shown[1] if shown and shown[0].reset > self._clock() else b""

    def __iter__(self) -> Iterator[tuple[str, Bucket]]:
        return iter([(key[0], bucket) for key in {**self._seen, **self._heard} if (bucket := self._newest(key))])


def _lines(bucket: Bucket) -> bytes:
    pairs = (
        ("limit", bucket.limit),
        ("remaining", bucket.remaining),
        ("reset", bucket.reset),
        ("used", bucket.limit - bucket.remaining),
        ("resource", bucket.resource),
    )
    return "".join(f"x-ratelimit-{name}: {value}\r\n" for name, value in pairs).encode()
