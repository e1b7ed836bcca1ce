"""A page of whatever a test wants to see on it."""

from __future__ import annotations

from typing import Any

from p2pcache.hub.page_history import History
from p2pcache.hub.page_sections import PageView
from p2pcache.ledger.ledger import Ledger
from p2pcache.ledger.stats import About, read

NOW = 1_790_000_000.0
ROW: dict[str, Any] = {
    "peer_id": "12D3KooWPeer",
    "address": "/ip4/10.0.0.7/tcp/9000",
    "direction": "in",
    "via": "direct",
    "since": NOW - 100,
    "rtt_ms": 0.42,
    "blocks_in": 1,
    "bytes_in": 2000,
    "bytes_out": 3000,
    "announced": 4,
    "state": "member",
    "reason": "",
}
READY = {"api_url": "http://127.0.0.1:8080", "multiaddrs": ["/ip4/10.0.0.1/tcp/9100/p2p/12D3KooWHub"]}


def peer(name: str, state: str = "member", **fields: Any) -> dict[str, Any]:
    return {**ROW, "peer_id": name, "state": state, **fields}


def busy() -> Ledger:
    """A ledger in which 1,204 calls were saved."""
    ledger = Ledger(lambda: NOW)
    ledger.about = About("1.2.3", "https://api.github.com", NOW - 4000, 4000.0)
    ledger.scope = "actions:octo/app"
    route = ledger.route("GET /repos/{owner}/{repo}/issues")
    for tier, n in (("memory", 900), ("disk", 100), ("peer", 104)):
        for _ in range(n):
            ledger.hit(tier, route, 100, 50)
    for _ in range(100):
        ledger.revalidated(route, 100, 50)
    for _ in range(200):
        ledger.miss(ledger.route("GET /user"))
    ledger.quota("actions:octo/app", "core", 1000, 871, int(NOW) + 1920)
    ledger.quota("token:0123456789abcdef", "core", 5000, 20, int(NOW) + 30)
    return ledger


def view(ledger: Ledger | None = None, *peers: dict[str, Any], **fields: Any) -> PageView:
    stats = read((ledger or Ledger(lambda: NOW)).stats())
    given = {"ready": READY, "hub": True, "history": History(), "now": NOW, **fields}
    return PageView(stats, peers, **given)
