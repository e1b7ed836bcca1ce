"""Nodes of one swarm as processes over real TCP: what one fetched serves the others."""

import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.integration.fleet.conftest import joined
from tests.support.processes import GitHub, Node, running

REPOSITORY = "octo/app"
OTHER = "octo/lib"


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    tokens = [f"--token=ghs_{name}={REPOSITORY}" for name in ("one", "two")]
    with running("p2pcache.testing", *tokens, f"--token=ghs_other={OTHER}", home=tmp_path_factory.mktemp("g")) as said:
        yield GitHub(said["url"])


@pytest.fixture(scope="module")
def tokens() -> list[str]:
    return ["ghs_one"]


def test_the_second_node_serves_what_the_first_fetched(start: Callable[..., Node], github: GitHub) -> None:
    hub, node = joined(start, token="ghs_two")
    github.order("reset-calls")
    target = f"/repos/{REPOSITORY}/issues?per_page=7"
    status, headers, body = hub.get(target, "ghs_one")
    assert status == 200
    assert headers["cache-status"] == "p2pcache; fwd=uri-miss; fwd-status=200; stored"
    node.until(lambda _: node.control("peers")[0]["announced"] > 0, "the announcement")
    again, shown, same = node.get(target, "ghs_two")
    assert (again, same.replace(node.api_url.encode(), hub.api_url.encode())) == (200, body)
    assert shown["cache-status"].startswith("p2pcache; hit; ttl=")
    assert shown["cache-status"].endswith("; detail=peer")
    assert len(github.calls()) == 1
    stats = node.control("stats")
    assert stats["hits"]["peer"] == 1
    assert stats["upstream"]["calls"] == 0
    assert stats["peers"]["bytes_in"] > 0


def test_a_token_of_another_repository_gets_it_by_a_free_proof(start: Callable[..., Node], github: GitHub) -> None:
    hub, node = joined(start, token="ghs_other", repository=OTHER)
    target = f"/repos/{REPOSITORY}/labels"
    _, _, body = hub.get(target, "ghs_one")
    node.until(lambda _: node.control("peers")[0]["announced"] > 0, "the announcement")
    github.order("reset-calls")
    status, headers, same = node.get(target, "ghs_other")
    assert (status, same.replace(node.api_url.encode(), hub.api_url.encode())) == (200, body)
    assert headers["cache-status"].endswith("; detail=revalidated")
    assert len(github.calls()) == 1
    assert github.charged() == 0


def test_a_write_through_one_node_is_seen_through_the_other_at_once(start: Callable[..., Node], github: GitHub) -> None:
    hub, node = joined(start, token="ghs_two")
    target = f"/repos/{REPOSITORY}/issues/1"
    hub.get(target, "ghs_one")
    node.until(lambda _: node.control("peers")[0]["announced"] > 0, "the announcement")
    node.get(target, "ghs_two")
    title = secrets.token_hex(4)
    import json
    import urllib.request

    request = urllib.request.Request(
        f"{hub.api_url}{target}",
        json.dumps({"title": title}).encode(),
        {"Authorization": "token ghs_one", "Content-Type": "application/json"},
        method="PATCH",
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200
    assert json.loads(node.get(target, "ghs_two")[2])["title"] == title
    assert json.loads(hub.get(target, "ghs_one")[2])["title"] == title


def test_a_wrong_secret_is_one_clear_line_and_the_node_goes_on_alone(
    start: Callable[..., Node], github: GitHub
) -> None:
    hub = start("hub", "--hub")
    hub.until(lambda _: hub.ready["p2p"] == "ready", "the hub's swarm")
    node = start("stranger", "--bootstrap", hub.ready["multiaddrs"][0], CACHE_SECRET=secrets.token_hex(32))
    node.until(lambda _: "secret" in node.log.read_text(), "the line about the secret")
    lines = [line for line in node.log.read_text().splitlines() if "secret" in line]
    assert len(lines) == 1
    assert "Traceback" not in node.log.read_text() + hub.log.read_text()
    assert node.get(f"/repos/{REPOSITORY}", "ghs_two")[0] == 200
    assert node.control("stats")["peers"]["connected"] == 0


def test_an_unreachable_bootstrap_is_one_clear_line_and_the_node_goes_on_alone(
    start: Callable[..., Node], github: GitHub
) -> None:
    node = start("lonely", "--bootstrap", "/ip4/127.0.0.1/tcp/1")
    node.until(lambda _: "/ip4/127.0.0.1/tcp/1" in node.log.read_text(), "the line about the address")
    assert "Traceback" not in node.log.read_text()
    assert node.get(f"/repos/{REPOSITORY}", "ghs_one")[0] == 200


def test_a_port_that_is_taken_is_one_clear_line_and_another_is_taken_instead(start: Callable[..., Node]) -> None:
    hub = start("hub", "--hub")
    hub.until(lambda _: hub.ready["p2p"] == "ready", "the hub's swarm")
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        address = hub.ready["multiaddrs"][0]
        node = start("told", "--bootstrap", address, listen="", CACHE_LISTEN_PORT=str(port))
        node.until(lambda stats: stats["peers"]["connected"] == 1, "the hub")
    assert node.log.read_text().count(f"tcp/{port} cannot be had: the swarm listens on") == 1
    assert "Traceback" not in node.log.read_text()
    told = {int(address.split("/")[4]) for address in node.ready["multiaddrs"]}
    assert told == {node.ready["p2p_port"]} != {port}


def test_jobs_that_share_a_host_need_not_choose_ports(start: Callable[..., Node]) -> None:
    hub = start("hub", "--hub")
    hub.until(lambda _: hub.ready["p2p"] == "ready", "the hub's swarm")
    nodes = [start(f"job{i}", "--bootstrap", hub.ready["multiaddrs"][0], listen="") for i in range(2)]
    for node in nodes:
        node.until(lambda stats: stats["peers"]["connected"] >= 1, "a job at the hub")
    assert len({node.ready["p2p_port"] for node in nodes}) == 2


def test_what_a_job_fetched_outlives_it_at_the_hub(start: Callable[..., Node], github: GitHub) -> None:
    """Jobs one after the other, as a workflow's are: the hub keeps what it saw, through a lease or not."""
    hub, first = joined(start)
    target = f"/repos/{REPOSITORY}/issues?per_page=11"
    _, _, body = first.get(target, "ghs_one")
    hub.until(lambda _: hub.control("peers")[0]["blocks_in"] > 0, "the block at the hub")
    os.kill(first.pid, signal.SIGTERM)
    hub.until(lambda stats: stats["peers"]["connected"] == 0, "the end of the first job")
    second = start("second", "--bootstrap", hub.ready["multiaddrs"][0], token="ghs_two")
    second.until(lambda _: any(peer["announced"] for peer in second.control("peers")), "the hub's snapshot")
    github.order("reset-calls")
    _, headers, same = second.get(target, "ghs_two")
    assert headers["cache-status"].endswith("; detail=peer")
    assert same.replace(second.api_url.encode(), first.api_url.encode()) == body
    assert github.calls() == []
