"""Rate limits: a bucket per identity and resource (docs.github.com, "Rate limits for the REST API")."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

ANONYMOUS_LIMIT = 60
HOUR = 3600
WINDOWS = {"core": HOUR, "graphql": HOUR, "search": 60}
"""Length of the window in seconds, by resource."""


@dataclass(slots=True)
class Bucket:
    """`limit` requests until `reset` (Unix seconds)."""

    resource: str
    limit: int
    reset: int
    used: int = 0

    @property
    def remaining(self) -> int:
        """Requests left; never below zero."""
        return max(0, self.limit - self.used)

    def headers(self) -> dict[str, str]:
        """Return the `x-ratelimit-*` headers of an answer that is charged to this bucket."""
        return {f"x-ratelimit-{name}": str(value) for name, value in self.status().items()} | {
            "x-ratelimit-resource": self.resource
        }

    def status(self) -> dict[str, int]:
        """Return the bucket as in `GET /rate_limit`."""
        return {"limit": self.limit, "remaining": self.remaining, "reset": self.reset, "used": self.used}


@dataclass(slots=True)
class Quota:
    """All buckets; `clock` returns Unix seconds, so that a test can skip an hour."""

    clock: Callable[[], float]
    _buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)
    _limits: dict[str, int] = field(default_factory=dict)

    def limit(self, identity: str, limit: int) -> None:
        """Set the hourly core limit of `identity`, for the current window too."""
        self._limits[identity] = limit
        if running := self._buckets.get((identity, "core")):
            running.limit = limit

    def bucket(self, identity: str, resource: str) -> Bucket:
        """Return the bucket of the current window."""
        found = self._buckets.get((identity, resource))
        now = self.clock()
        if found is None or now >= found.reset:
            reset = math.ceil(now) + WINDOWS[resource]
            found = Bucket(resource, self._limit(identity, resource), reset)
            self._buckets[identity, resource] = found
        return found

    def _limit(self, identity: str, resource: str) -> int:
        core = self._limits.get(identity, ANONYMOUS_LIMIT)
        anonymous = identity not in self._limits
        match resource:
            case "search":
                return 10 if anonymous else 30
            case "graphql":
                return 0 if anonymous else core
            case _:
                return core
