"""What the node did, counted: the figures behind `/-/stats`, the report and the metrics.

Every figure is counted, none sampled. `time_saved_ms` is the one that rests on a measurement of another moment, and
`time_saved_how` names it. One event loop writes; a count is a few attribute increments, since hits pay for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from p2pcache.bounded import Bounded
from p2pcache.clock import unix_time
from p2pcache.ledger.stats import (
    TIERS,
    About,
    PeerStats,
    ProgramStats,
    QuotaStats,
    RouteStats,
    Stats,
    StoreStats,
    UpstreamStats,
    read,
)

OTHER = "other"
MAX_ROUTES = 512
MAX_NAMES = 64
MAX_BUCKETS = 256


class RouteCount:
    """The counters of one operation, looked up once per classified request and then only incremented."""

    __slots__ = ("requests", "route", "saved")

    def __init__(self, route: str) -> None:
        self.route = route
        self.requests = 0
        self.saved = 0


class Ledger:
    """Counts what the node does. Not thread-safe: it belongs to the gateway's event loop."""

    def __init__(self, clock: Callable[[], float] = unix_time) -> None:
        self.scope = ""
        """Of this node's own token, among those of `quota`."""
        self.store = StoreStats()
        self.about = About()
        self._clock = clock
        self._hits: defaultdict[str, int] = defaultdict(int, dict.fromkeys(TIERS, 0))
        self._revalidated = 0
        self._charged_revalidations = 0
        self._misses = 0
        self._bypassed = 0
        self._upstream = UpstreamStats(by_status={})
        self._time_saved_ms = 0
        self._bytes_from_cache = 0
        self._quota: Bounded[tuple[str, str], QuotaStats] = Bounded(MAX_BUCKETS)
        self._peers = PeerStats()
        self._earlier = PeerStats()
        self._routes: dict[str, RouteCount] = {}
        self._errors: dict[str, int] = {}
        self._rules: dict[str, int] = {}
        self._webhooks: dict[str, int] = {}
        self._programs: dict[str, RouteCount] = {}

    def route(self, template: str) -> RouteCount:
        """Return the counters of an operation; beyond `MAX_ROUTES` of them, those of "other"."""
        found = self._routes.get(template)
        if found is None:
            if len(self._routes) >= MAX_ROUTES - 1:
                template = OTHER
            found = self._routes.setdefault(template, RouteCount(template))
        return found

    def program(self, kind: str) -> RouteCount:
        """Return the counters of a kind of program that was led here by name; beyond `MAX_NAMES`, those of "other"."""
        found = self._programs.get(kind)
        if found is None:
            if len(self._programs) >= MAX_NAMES - 1:
                kind = OTHER
            found = self._programs.setdefault(kind, RouteCount(kind))
        return found

    def hit(self, tier: str, route: RouteCount, size: int, saved_ms: int) -> None:
        """Count an answer of `size` body bytes from `tier`, for which GitHub had taken `saved_ms`."""
        self._hits[tier] += 1
        self._bytes_from_cache += size
        self._time_saved_ms += saved_ms
        route.requests += 1
        route.saved += 1

    def revalidated(self, route: RouteCount, size: int, saved_ms: int, *, charged: bool = False) -> None:
        """Count a stored answer served after GitHub's 304, which it may charge to a request without credential."""
        self._revalidated += 1
        self._bytes_from_cache += size
        self._time_saved_ms += max(0, saved_ms)
        route.requests += 1
        if charged:
            self._charged_revalidations += 1
        else:
            route.saved += 1

    def miss(self, route: RouteCount) -> None:
        """Count a cacheable request whose answer the cache did not have: GitHub's own, or a refusal made here."""
        self._misses += 1
        route.requests += 1

    def bypassed(self, route: RouteCount) -> None:
        """Count a request that is none of the cache's: a write, a stream, an operation that is never cached."""
        self._bypassed += 1
        route.requests += 1

    def upstream(self, status: int, *, charged: bool, not_modified: bool) -> None:
        """Count an answer of GitHub."""
        counts = self._upstream
        counts.calls += 1
        counts.charged += charged
        counts.not_modified += not_modified
        _add(counts.by_status, str(status), 1)

    def decided(self, rule: str) -> None:
        """Count a request by the rule that decided it (`--explain` names it)."""
        _add(self._rules, rule, 1)

    def error(self, name: str, n: int = 1) -> None:
        """Count an error inside; the caller got an answer all the same."""
        _add(self._errors, name, n)

    def delivered(self, outcome: str) -> None:
        """Count a delivery of a webhook by what came of it."""
        _add(self._webhooks, outcome, 1)

    def quota(self, scope: str, resource: str, limit: int, remaining: int, reset: int) -> None:
        """Set a token's bucket; the longest unseen of `MAX_BUCKETS` gives way."""
        self._quota[scope, resource] = QuotaStats(scope, resource, limit, remaining, reset)

    def peers(self, connected: int, known: int, counts: Mapping[str, int]) -> None:
        """Set how many peers there are, and the swarm's totals since this process started, by `PeerStats`' names."""
        self._peers = _added(self._earlier, PeerStats(connected, known, **counts))

    def stats(self) -> dict[str, Any]:
        """Return the ledger in the shape of `Stats`; routes busiest first, buckets that are not over yet."""
        hits = sum(self._hits.values())
        cacheable = hits + self._revalidated + self._misses
        saved = hits + self._revalidated - self._charged_revalidations
        now = self._clock()
        stats = Stats(
            requests=cacheable + self._bypassed,
            hits=dict(self._hits),
            revalidated=self._revalidated,
            bypassed=self._bypassed,
            misses=self._misses,
            upstream=self._upstream,
            hit_rate=_rate(saved, cacheable),
            api_calls_saved=saved,
            time_saved_ms=self._time_saved_ms,
            bytes_from_cache=self._bytes_from_cache,
            scope=self.scope,
            quota=[q for q in self._quota.values() if not 0 < q.reset <= now],
            peers=self._peers,
            store=self.store,
            node=self.about,
            routes=[
                RouteStats(r.route, r.requests, r.saved)
                for r in sorted(self._routes.values(), key=lambda r: (-r.requests, r.route))
            ],
            errors=dict(self._errors),
            rules=dict(self._rules),
            webhooks=dict(self._webhooks),
            programs={p.route: ProgramStats(p.requests, p.saved) for p in self._programs.values()},
        )
        builtins: dict[str, Any] = msgspec.to_builtins(stats)
        return builtins

    def absorb(self, stats: Mapping[str, Any]) -> None:
        """Add what another ledger counted, as from then on counted here; of quota and peers its view is the newer.

        Raises:
            ValueError: `stats` is not a ledger.
        """
        other = read(stats)
        self.scope = self.scope or other.scope
        hits = sum(other.hits.values())
        for tier, n in other.hits.items():
            self._hits[tier] += n
        self._revalidated += other.revalidated
        self._charged_revalidations += max(0, hits + other.revalidated - other.api_calls_saved)
        self._misses += other.misses
        self._bypassed += other.bypassed
        self._time_saved_ms += other.time_saved_ms
        self._bytes_from_cache += other.bytes_from_cache
        self._absorb_tables(other)
        self._peers = self._earlier = _added(self._peers, other.peers)
        self.store, self.about = other.store, other.node

    def _absorb_tables(self, other: Stats) -> None:
        self._upstream.calls += other.upstream.calls
        self._upstream.charged += other.upstream.charged
        self._upstream.not_modified += other.upstream.not_modified
        for mine, theirs in (
            (self._upstream.by_status, other.upstream.by_status),
            (self._errors, other.errors),
            (self._rules, other.rules),
            (self._webhooks, other.webhooks),
        ):
            for name, n in theirs.items():
                _add(mine, name, n)
        for quota in other.quota:
            self.quota(quota.scope, quota.resource, quota.limit, quota.remaining, quota.reset)
        for route in other.routes:
            counters = self.route(route.route)
            counters.requests += route.requests
            counters.saved += route.saved
        for kind, program in other.programs.items():
            counters = self.program(kind)
            counters.requests += program.requests
            counters.saved += program.saved

    @classmethod
    def restore(cls, stats: Mapping[str, Any], clock: Callable[[], float] = unix_time) -> Ledger:
        """Return a ledger that goes on counting where the node that wrote `stats` stopped; it has no peers yet.

        Raises:
            ValueError: `stats` is not a ledger.
        """
        ledger = cls(clock)
        ledger.absorb(stats)
        ledger.peers(0, 0, {})
        ledger.store, ledger.about = StoreStats(), About()
        return ledger


def merge(
    earlier: Mapping[str, Any], later: Mapping[str, Any], clock: Callable[[], float] = unix_time
) -> dict[str, Any]:
    """Return the statistics of two runs as one.

    Raises:
        ValueError: one of them is not a ledger.
    """
    ledger = Ledger(clock)
    ledger.absorb(earlier)
    ledger.absorb(later)
    return ledger.stats()


def _add(counts: dict[str, int], name: str, n: int) -> None:
    """Count under `name`, or under "other" once `MAX_NAMES` are taken: a name may hold what a peer or GitHub sent."""
    if name not in counts and len(counts) >= MAX_NAMES - 1:
        name = OTHER
    counts[name] = counts.get(name, 0) + n


def _added(earlier: PeerStats, later: PeerStats) -> PeerStats:
    """Return the sums of both, with the later numbers of peers."""
    counts = {name: getattr(earlier, name) + getattr(later, name) for name in PeerStats.__struct_fields__}
    return msgspec.structs.replace(PeerStats(**counts), connected=later.connected, known=later.known)


def _rate(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
