"""The metrics say what the ledger says, in a form that Prometheus' own parser reads back."""

import subprocess
import sys
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from p2pcache.ledger.ledger import Ledger
from p2pcache.ledger.metrics import exposition
from p2pcache.ledger.stats import About, PeerStats, StoreStats

COUNTS = [name for name in PeerStats.__struct_fields__ if name not in ("connected", "known")]


def samples(ledger: Any) -> Any:
    families = text_string_to_metric_families(exposition(ledger.stats()).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_figure_of_the_ledger_is_there() -> None:
    ledger = Ledger(lambda: 1000.0)
    route = ledger.route("GET /user")
    ledger.hit("peer", route, 512, 1500)
    ledger.revalidated(route, 8, 0)
    ledger.miss(route)
    ledger.bypassed(route)
    ledger.upstream(304, charged=False, not_modified=True)
    ledger.upstream(200, charged=True, not_modified=False)
    ledger.quota("anonymous", "core", 60, 59, 2000)
    ledger.peers(2, 3, {name: n for n, name in enumerate(COUNTS, 10)})
    ledger.store = StoreStats(memory_entries=1, memory_bytes=2, disk_entries=3, disk_bytes=4, disk_errors=5)
    ledger.about = About("1.2.3", started_at=1000.5, uptime_seconds=60.0, degraded=["the disk is full"])
    ledger.error("peer_timeout", 4)
    ledger.decided("fresh")
    bucket = (("resource", "core"), ("scope", "anonymous"))
    found = samples(ledger)
    assert (
        found.items()
        >= {
            ("p2pcache_requests_total", ()): 4,
            ("p2pcache_hits_total", (("tier", "peer"),)): 1,
            ("p2pcache_hits_total", (("tier", "memory"),)): 0,
            ("p2pcache_revalidated_total", ()): 1,
            ("p2pcache_misses_total", ()): 1,
            ("p2pcache_bypassed_total", ()): 1,
            ("p2pcache_api_calls_saved_total", ()): 2,
            ("p2pcache_time_saved_seconds_total", ()): 1.5,
            ("p2pcache_bytes_from_cache_total", ()): 520,
            ("p2pcache_route_requests_total", (("route", "GET /user"),)): 4,
            ("p2pcache_route_saved_total", (("route", "GET /user"),)): 2,
            ("p2pcache_rules_total", (("rule", "fresh"),)): 1,
            ("p2pcache_errors_total", (("error", "peer_timeout"),)): 4,
            ("p2pcache_upstream_calls_total", ()): 2,
            ("p2pcache_upstream_charged_total", ()): 1,
            ("p2pcache_upstream_not_modified_total", ()): 1,
            ("p2pcache_upstream_responses_total", (("status", "304"),)): 1,
            ("p2pcache_quota_limit", bucket): 60,
            ("p2pcache_quota_remaining", bucket): 59,
            ("p2pcache_quota_reset_timestamp_seconds", bucket): 2000,
            ("p2pcache_peers_connected", ()): 2,
            ("p2pcache_peers_known", ()): 3,
            ("p2pcache_peer_received_bytes_total", ()): 10,
            ("p2pcache_peer_sent_bytes_total", ()): 11,
            ("p2pcache_peer_received_blocks_total", ()): 12,
            ("p2pcache_peer_given_blocks_total", ()): 13,
            ("p2pcache_peer_relayed_blocks_total", ()): 14,
            ("p2pcache_peer_kept_blocks_total", ()): 15,
            ("p2pcache_leases_granted_total", ()): 16,
            ("p2pcache_peer_joins_total", ()): 17,
            ("p2pcache_peer_leaves_total", ()): 18,
            ("p2pcache_memory_entries", ()): 1,
            ("p2pcache_memory_bytes", ()): 2,
            ("p2pcache_disk_entries", ()): 3,
            ("p2pcache_disk_bytes", ()): 4,
            ("p2pcache_disk_errors_total", ()): 5,
            ("p2pcache_build_info", (("version", "1.2.3"),)): 1,
            ("p2pcache_start_time_seconds", ()): 1000.5,
            ("p2pcache_uptime_seconds", ()): 60,
            ("p2pcache_degraded", ()): 1,
        }.items()
    )
    assert all(name.startswith("p2pcache_") for name, _ in found)


def test_a_name_cannot_break_out_of_its_line() -> None:
    ledger = Ledger()
    hostile = 'a"} 1\np2pcache_forged 7\n\\'
    ledger.error(hostile)
    found = samples(ledger)
    assert found["p2pcache_errors_total", (("error", hostile),)] == 1
    assert not any(name == "p2pcache_forged" for name, _ in found)


def test_what_is_no_ledger_is_refused() -> None:
    with pytest.raises(ValueError, match="not statistics"):
        exposition({"requests": "many"})


def test_prometheus_client_is_loaded_by_the_first_scrape_only() -> None:
    program = "import p2pcache.ledger.metrics, sys; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 0


def test_a_store_behind_a_service_has_its_own_figures() -> None:
    stats = Ledger().stats()
    stats["stores"] = [
        {"name": "s3", "state": "closed", "calls": 7},
        {"name": "ipfs", "state": "open", "why": "it is away", "lost": 2, "refused": 1},
    ]
    families = text_string_to_metric_families(exposition(stats).decode())
    found = {
        (sample.name, sample.labels["store"]): sample.value
        for family in families
        for sample in family.samples
        if "store" in sample.labels
    }
    assert found == {
        ("p2pcache_store_used", "s3"): 1,
        ("p2pcache_store_used", "ipfs"): 0,
        ("p2pcache_store_calls_total", "s3"): 7,
        ("p2pcache_store_calls_total", "ipfs"): 0,
        ("p2pcache_store_lost_total", "s3"): 0,
        ("p2pcache_store_lost_total", "ipfs"): 2,
        ("p2pcache_store_refused_total", "s3"): 0,
        ("p2pcache_store_refused_total", "ipfs"): 1,
    }
