"""The ledger as Prometheus text, for `/-/metrics`.

A view of `Ledger.stats`, made when somebody scrapes: nothing is counted twice, and a node that nobody scrapes never
loads prometheus-client. Names follow https://prometheus.io/docs/practices/naming/ (base units, `_total` on counters).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from p2pcache.gateway.stats import Stats, read

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
    yield _gauge("peers_known", "Peers known.", peers.known)
    yield _counter("peer_received_bytes", "Bytes received from peers.", peers.bytes_in)
    yield _counter("peer_sent_bytes", "Bytes sent to peers.", peers.bytes_out)
