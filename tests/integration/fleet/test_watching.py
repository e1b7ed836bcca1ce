"""A hub as its operator watches it: metrics, health and log, from this machine and from others."""

import ipaddress
import json
import os
import re
import secrets
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from p2pcache.swarm.services.interfaces import interfaces
from tests.integration.fleet.conftest import joined
from tests.support.processes import GitHub, Node, running

REPOSITORY, CONTROL = "octo/app", "6c0n7r01Zq8Vw2Tm5Xk9Yb4Hd7Js3Lf1"
READ = f"/repos/{REPOSITORY}/releases"
ELSEWHERE = next((a for a in interfaces() if "." in a and not ipaddress.ip_address(a).is_loopback), "")
"""An address by which this machine reaches itself as another one would."""
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR) p2pcache: .+")


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    with running("p2pcache.testing", f"--token=ghs_one={REPOSITORY}", home=tmp_path_factory.mktemp("g")) as said:
        yield GitHub(said["url"])


@pytest.fixture(scope="module")
def tokens() -> list[str]:
    return ["ghs_one"]


def fetch(url: str, token: str = "", **headers: str) -> tuple[int, str]:
    """Status and body."""
    sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=sent), timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metrics(url: str, token: str = "") -> dict[str, float]:
    status, text = fetch(f"{url}/-/metrics", token)
    assert status == 200, text
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if set(sample.labels) <= {"version"}
    }


def until(holds: Callable[[], object], what: object, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_what_a_hub_does_for_members_is_counted(start: Callable[..., Node]) -> None:
    hub, node = joined(start)
    assert node.get(READ, "ghs_one")[0] == 200
    counted = {
        "p2pcache_peer_joins_total": 1,
        "p2pcache_peer_kept_blocks_total": 1,
        "p2pcache_leases_granted_total": 1,
        "p2pcache_disk_entries": 1,
        "p2pcache_disk_errors_total": 0,
        "p2pcache_peers_connected": 1,
        "p2pcache_peers_known": 1,
        "p2pcache_degraded": 0,
    }
    until(lambda: metrics(hub.api_url).items() >= counted.items(), counted)
    found = metrics(hub.api_url)
    assert found["p2pcache_disk_bytes"] > 0
    assert 0 < found["p2pcache_uptime_seconds"] < 600
    assert abs(found["p2pcache_start_time_seconds"] + found["p2pcache_uptime_seconds"] - time.time()) < 60
    second = start("second", "--bootstrap", hub.ready["multiaddrs"][0])
    second.until(lambda _: any(p["announced"] for p in second.control("peers")), "the announcement")
    assert second.get(READ, "ghs_one")[1]["cache-status"].endswith("detail=peer")
    until(lambda: metrics(hub.api_url)["p2pcache_peer_given_blocks_total"] >= 1, "the block given")


def test_a_member_that_stops_is_no_error(start: Callable[..., Node]) -> None:
    hub, node = joined(start)
    os.kill(node.pid, signal.SIGTERM)
    hub.until(lambda stats: stats["peers"]["left"] == 1, "its leaving")
    # Its session is counted before its row goes.
    hub.until(lambda stats: (stats["peers"]["connected"], stats["peers"]["known"]) == (0, 0), "the end of its row")
    assert hub.control("stats")["errors"] == {}
    assert hub.control("peers") == []
    until(lambda: "left after" in hub.log.read_text(), "the line about its leaving")


def test_a_stranger_is_no_known_peer(start: Callable[..., Node]) -> None:
    hub = start("hub", "--hub")
    hub.until(lambda _: hub.ready["p2p"] == "ready", "the hub's swarm")
    start("stranger", "--bootstrap", hub.ready["multiaddrs"][0], CACHE_SECRET=secrets.token_hex(32))
    hub.until(lambda stats: stats["errors"].get("refused", 0) > 0, "the refusal")
    assert hub.control("stats")["peers"]["known"] == 0
    assert hub.control("stats")["peers"]["joined"] == 0


def test_the_log_says_who_joined_and_when(start: Callable[..., Node]) -> None:
    hub, node = joined(start)
    text = hub.log.read_text()
    assert f"member {node.ready['peer_id']} joined from /ip4/127.0.0.1/" in text
    assert all(LINE.fullmatch(line) for line in text.splitlines()), text


def test_debug_says_more_than_info_and_no_names(start: Callable[..., Node]) -> None:
    hub, node = joined(start, "--log-level", "debug")
    hub.get(READ, "ghs_one")
    line = " DEBUG p2pcache: GET /repos/{owner}/{repo}/releases: nothing found"
    until(lambda: line in hub.log.read_text(), "the line, which is written after the answer")
    assert REPOSITORY not in hub.log.read_text()
    assert " DEBUG " not in node.log.read_text()


def test_health_says_what_is_wrong_until_it_is_right(start: Callable[..., Node], github: GitHub) -> None:
    node = start("alone", "--no-p2p", upstream="http://127.0.0.1:9")
    assert node.control("healthz") == {"status": "ok"}
    assert node.get("/repos/octo/app", "ghs_one")[0] == 502
    said = node.control("healthz")
    assert said["status"] == "degraded"
    assert "cannot be reached" in said["reasons"][0]
    assert metrics(node.api_url)["p2pcache_degraded"] == 1
    assert node.control("stats")["node"]["degraded"] == said["reasons"]


@pytest.fixture
def watched(start: Callable[..., Node]) -> Node:
    if not ELSEWHERE:
        pytest.skip("this machine has no address but the loopback's")
    return start("hub", "--hub", "--gateway-host", "0.0.0.0", CACHE_CONTROL_TOKEN=CONTROL)


def elsewhere(hub: Node) -> str:
    """Its address as another machine knows it."""
    return hub.api_url.replace("127.0.0.1", ELSEWHERE)


@pytest.mark.parametrize("endpoint", ["metrics", "stats"])
def test_other_machines_need_the_control_token(watched: Node, endpoint: str) -> None:
    url = f"{elsewhere(watched)}/-/{endpoint}"
    assert fetch(url)[0] == 401
    assert fetch(url, "guessed")[0] == 401
    assert fetch(url, CONTROL)[0] == 200
    assert fetch(f"{watched.api_url}/-/{endpoint}")[0] == 200


def test_other_machines_may_ask_whether_it_is_well(watched: Node) -> None:
    assert json.loads(fetch(f"{elsewhere(watched)}/-/healthz")[1]) == {"status": "ok"}


def test_other_machines_get_no_answer_of_the_api(watched: Node) -> None:
    """Not even one that stands ready for who asks on this machine with the same headers."""
    for _ in range(3):
        assert fetch(f"{watched.api_url}{READ}", "ghs_one", Host=ELSEWHERE)[0] == 200
    status, said = fetch(f"{elsewhere(watched)}{READ}", "ghs_one", Host=ELSEWHERE)
    assert status == 403
    for endpoint in ("healthz", "stats", "peers", "metrics"):
        assert f"/-/{endpoint}" in said
    assert fetch(f"{elsewhere(watched)}{READ}", "ghs_one", Host="api.github.com")[0] == 403
