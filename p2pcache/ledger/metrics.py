"""The ledger as Prometheus text, for `/-/metrics`.

A view of `Ledger.stats`, made when somebody scrapes: nothing is counted twice, and a node that nobody scrapes never
loads prometheus-client. Names follow https://prometheus.io/docs/practices/naming/ (base units, `_total` on counters).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from p2pcache.ledger.stats import Stats, read

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(stats: Mapping[str, Any]) -> bytes:
    """Prometheus text (format 0.0.4, `CONTENT_TYPE`) of a ledger's statistics.

    Raises:
        ValueError: `stats` is not a ledger.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Ledger(read(stats)))
    return generate_latest(registry)


class _Ledger:
    """A collector (prometheus-client's protocol) of one moment's statistics."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        yield from _requests(self._stats)
        yield from _upstream(self._stats)
        yield from _quota(self._stats)
        yield from _peers(self._stats)
        yield from _store(self._stats)
        yield from _stores(self._stats)
        yield from _node(self._stats)


def _counter(name: str, help_text: str, value: float) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(f"p2pcache_{name}", help_text, value=value)


def _table(name: str, help_text: str, label: str, counts: Mapping[str, int]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"p2pcache_{name}", help_text, labels=[label])
    for value, n in counts.items():
        family.add_metric([value], n)
    return family


def _gauge(name: str, help_text: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"p2pcache_{name}", help_text, value=value)


def _requests(stats: Stats) -> Iterator[Metric]:
    yield _counter("requests", "Requests of clients.", stats.requests)
    yield _table("hits", "Answers from the cache, by tier.", "tier", stats.hits)
    yield _counter("revalidated", "Answers from the cache after a 304 of GitHub.", stats.revalidated)
    yield _counter("misses", "Cacheable requests that the cache could not answer.", stats.misses)
    yield _counter("bypassed", "Requests that the cache has nothing to do with.", stats.bypassed)
    yield _counter("api_calls_saved", "Answers that cost no charged API call.", stats.api_calls_saved)
    yield _counter("time_saved_seconds", stats.time_saved_how, stats.time_saved_ms / 1000)
    yield _counter("bytes_from_cache", "Body bytes answered from the cache.", stats.bytes_from_cache)
    routes = {route.route: route for route in stats.routes}
    yield _table("route_requests", "Requests by operation.", "route", {n: r.requests for n, r in routes.items()})
    yield _table("route_saved", "Calls saved by operation.", "route", {n: r.saved for n, r in routes.items()})
    yield _table("rules", "Requests by the rule that decided them.", "rule", stats.rules)
    deliveries = "Deliveries of webhooks by what came of them."
    yield _table("webhook_deliveries", deliveries, "outcome", stats.webhooks)
    yield _table("errors", "What went wrong inside, by kind.", "error", stats.errors)


def _upstream(stats: Stats) -> Iterator[Metric]:
    upstream = stats.upstream
    yield _counter("upstream_calls", "Calls to GitHub.", upstream.calls)
    yield _counter("upstream_charged", "Calls that GitHub charged.", upstream.charged)
    yield _counter("upstream_not_modified", "Calls that GitHub answered with 304.", upstream.not_modified)
    yield _table("upstream_responses", "Answers of GitHub by status.", "status", upstream.by_status)


def _quota(stats: Stats) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    for name, help_text in (
        ("limit", "Calls an hour that GitHub allows."),
        ("remaining", "Calls left until the reset."),
        ("reset", "Unix seconds of the reset."),
    ):
        suffix = "_timestamp_seconds" if name == "reset" else ""
        family = GaugeMetricFamily(f"p2pcache_quota_{name}{suffix}", help_text, labels=["scope", "resource"])
        for bucket in stats.quota:
            family.add_metric([bucket.scope, bucket.resource], getattr(bucket, name))
        yield family


def _peers(stats: Stats) -> Iterator[Metric]:
    peers = stats.peers
    yield _gauge("peers_connected", "Peers connected now.", peers.connected)
    yield _gauge("peers_known", "Peers connected, and members behind a hub.", peers.known)
    yield _counter("peer_joins", "Sessions with peers that began.", peers.joined)
    yield _counter("peer_leaves", "Sessions with peers that ended.", peers.left)
    yield _counter("peer_received_bytes", "Bytes of blocks received from peers.", peers.bytes_in)
    yield _counter("peer_sent_bytes", "Bytes of blocks sent to peers.", peers.bytes_out)
    yield _counter("peer_received_blocks", "Blocks received from peers.", peers.blocks_in)
    yield _counter("peer_given_blocks", "Blocks sent to members that asked.", peers.blocks_given)
    yield _counter("peer_relayed_blocks", "Given blocks fetched from another member.", peers.blocks_relayed)
    yield _counter("peer_kept_blocks", "Blocks of members that a hub stored for others.", peers.blocks_kept)
    yield _counter("leases_granted", "Times a member was to ask GitHub for all.", peers.leases_granted)


def _store(stats: Stats) -> Iterator[Metric]:
    store = stats.store
    yield _gauge("memory_entries", "Entries in memory.", store.memory_entries)
    yield _gauge("memory_bytes", "Bytes that entries take in memory.", store.memory_bytes)
    yield _gauge("disk_entries", "Entries on disk.", store.disk_entries)
    yield _gauge("disk_bytes", "Bytes that entries take on disk.", store.disk_bytes)
    yield _counter("disk_errors", "Failures of the disk store.", store.disk_errors)


def _stores(stats: Stats) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    by_name = {store.name: store for store in stats.stores}
    used = GaugeMetricFamily("p2pcache_store_used", "Whether a store's circuit breaker is closed.", labels=["store"])
    for name, store in by_name.items():
        used.add_metric([name], store.state == "closed")
    yield used
    yield _table("store_calls", "Calls of a store's service.", "store", {n: s.calls for n, s in by_name.items()})
    yield _table("store_lost", "Writes given up.", "store", {n: s.lost for n, s in by_name.items()})
    refused = {n: s.refused for n, s in by_name.items()}
    yield _table("store_refused", "Blocks and records that were not what they should be.", "store", refused)


def _node(stats: Stats) -> Iterator[Metric]:
    from prometheus_client.core import InfoMetricFamily

    node = stats.node
    yield InfoMetricFamily("p2pcache_build", "The version that runs.", value={"version": node.version})
    yield _gauge("start_time_seconds", "Unix seconds of the node's start.", node.started_at)
    yield _gauge("uptime_seconds", "Seconds since the node's start.", node.uptime_seconds)
    yield _gauge("degraded", "Whether something is wrong; /-/healthz says what.", bool(node.degraded))
