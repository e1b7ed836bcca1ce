"""Check 3: what a running node reports, addresses that are taken, and a node that starts."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pcache.doctor import own_node
from p2pcache.doctor.finding import CheckVerdict, passed
from p2pcache.doctor.own_node import RESTART, START, advice_for, examine, of_new
from p2pcache.gateway.listen import ListenError
from tests.support.patients import HEALTHY, SECRET, fake_node, files, findings, patient


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_a_node_starts_with_peers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (finding,) = await findings(examine, patient(tmp_path))
    assert (finding.verdict, finding.advice) == (CheckVerdict.PASS, "")
    assert "peers: ready" in finding.detail[1]
    assert files(tmp_path) == []


async def test_without_peers_it_says_so(tmp_path: Path) -> None:
    finding = await of_new(patient(tmp_path, {"p2p": "false"}).settings)
    assert finding.verdict is CheckVerdict.PASS
    assert "peer to peer is off" in finding.found


async def test_peers_that_cannot_be_had_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(self: Any) -> None:
        self.state = "failed: libp2p does not load"

    monkeypatch.setattr("p2pcache.participation.Participation.join", fails)
    finding = await of_new(patient(tmp_path).settings)
    assert (finding.verdict, finding.advice) == (CheckVerdict.FAIL, START)
    assert "libp2p does not load" in finding.found


async def test_a_node_that_does_not_start_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> Any:
        raise ListenError("--listen 127.0.0.1:0: Too many open files; name another port")

    monkeypatch.setattr("p2pcache.node.open_all", refuse)
    finding = await of_new(patient(tmp_path).settings)
    assert (finding.verdict, finding.advice) == (CheckVerdict.FAIL, START)
    assert "Too many open files" in finding.found


@pytest.mark.parametrize("flag", ["listen", "gateway_host"])
async def test_an_address_that_is_taken_is_a_failure(
    tmp_path: Path, taken: int, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_node, "of_new", _well)
    examined = patient(tmp_path, {flag: f"127.0.0.1:{taken}"}, CACHE_CONTROL_TOKEN="c0n7r01-c0n7r01")
    first, _ = await findings(examine, examined)
    assert first.verdict is CheckVerdict.FAIL
    assert f":{taken}: Address already in use" in first.found
    assert first.advice == "name another port, or 0 for any free one"


@pytest.mark.parametrize(("hub", "verdict"), [("true", CheckVerdict.FAIL), ("false", CheckVerdict.WARN)])
async def test_the_peers_port_is_a_hubs_alone_or_any(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch, hub: str, verdict: CheckVerdict
) -> None:
    monkeypatch.setattr(own_node, "of_new", _well)
    flags = {"p2p_listen": f"/ip4/127.0.0.1/tcp/{taken}", "hub": hub}
    first, _ = await findings(examine, patient(tmp_path, flags, CACHE_SECRET=SECRET))
    assert first.verdict is verdict
    assert f"--p2p-listen 127.0.0.1:{taken}: Address already in use" in first.found
    assert "name another port" in first.advice


async def _well(settings: Any) -> Any:
    await asyncio.sleep(0)
    return passed("well")


async def test_a_running_node_is_asked(tmp_path: Path) -> None:
    with fake_node(tmp_path / "node.sock") as node:
        (finding,) = await findings(examine, patient(tmp_path, node=node.path))
    assert finding.verdict is CheckVerdict.PASS
    assert "since 2 min" in finding.found


async def test_what_a_running_node_reports_is_a_warning_with_advice(tmp_path: Path) -> None:
    degraded = {"status": "degraded", "reasons": ["no peer for 61 s", "peer to peer failed: no libp2p"]}
    other = {"node": {**HEALTHY["/-/stats"]["node"], "version": "0.0.1", "upstream": "https://ghes.example.org/api/v3"}}
    with fake_node(tmp_path / "node.sock", healthz=degraded, stats=other) as node:
        _, *warnings = await findings(examine, patient(tmp_path, node=node.path))
    assert {each.verdict for each in warnings} == {CheckVerdict.WARN}
    texts = [(each.found, each.advice) for each in warnings]
    assert "no peer for 61 s" in texts[0][0]
    assert "--only 4" in texts[0][1]
    assert texts[1][1] == texts[2][1] == texts[3][1] == RESTART
    assert "0.0.1" in texts[2][0]
    assert "ghes.example.org" in texts[3][0]


@pytest.mark.parametrize(("reason", "check"), [("the disk store hangs", "5"), ("GitHub cannot be reached", "9,10")])
def test_each_reason_leads_to_the_check_that_knows_more(reason: str, check: str) -> None:
    assert f"--only {check}," in advice_for(reason)


async def test_a_node_that_does_not_answer_is_a_failure(tmp_path: Path) -> None:
    with fake_node(tmp_path / "node.sock", healthz=500) as node:
        (finding,) = await findings(examine, patient(tmp_path, node=node.path))
    assert (finding.verdict, finding.advice) == (CheckVerdict.FAIL, RESTART)
