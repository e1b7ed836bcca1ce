"""Check 10, the Actions cache: its variables, a look-up, and what a running node knows of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p2pcache.doctor import actions_examination
from p2pcache.doctor.actions_examination import examine
from p2pcache.doctor.finding import CheckFinding, CheckVerdict
from p2pcache.gateway.ask import NodeError
from p2pcache.testing.actions_cache_server import ActionsCacheServer
from p2pcache.testing.faults import Fault
from tests.support.patients import findings, patient
from tests.unit.stores.actions.conftest import ON_MAIN, READ_ONLY

PASS, WARN, FAIL, SKIP = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL, CheckVerdict.SKIP


@pytest.fixture
async def server() -> AsyncIterator[ActionsCacheServer]:
    async with ActionsCacheServer() as server:
        yield server


async def found(directory: Path, node: Path | None = None, **variables: str) -> CheckFinding:
    given = patient(directory, {}, GITHUB_ACTIONS="true", **variables)
    (finding,) = await findings(examine, replace(given, node=node))
    for token in (ON_MAIN, READ_ONLY):
        assert token.reveal() not in repr(finding)
    return finding


def variables(server: ActionsCacheServer, token: Any = ON_MAIN) -> dict[str, str]:
    return {"ACTIONS_RESULTS_URL": server.url, "ACTIONS_RUNTIME_TOKEN": token.reveal()}


async def test_a_look_up(server: ActionsCacheServer, tmp_path: Path) -> None:
    finding = await found(tmp_path, None, **variables(server))
    assert (finding.verdict, "a look-up took" in finding.found, "writes refs/" in finding.found) == (PASS, True, True)
    assert "only reads" in (await found(tmp_path, None, **variables(server, READ_ONLY))).found


@pytest.mark.parametrize(
    ("fault", "verdict", "said", "advice"),
    [
        (Fault(status=403), FAIL, "refuses: GetCacheEntryDownloadURL: status 403", "permissions"),
        (Fault(status=429), WARN, "limited for", "fewer jobs"),
        (Fault(status=500), FAIL, "does not answer", "githubstatus.com"),
    ],
)
async def test_a_service_that_does_not_do_it(
    server: ActionsCacheServer, tmp_path: Path, fault: Fault, verdict: CheckVerdict, said: str, advice: str
) -> None:
    server.faults.add(fault)
    finding = await found(tmp_path, None, **variables(server))
    assert (finding.verdict, said in finding.found, advice in finding.advice) == (verdict, True, True), finding


async def test_variables_that_are_none(tmp_path: Path) -> None:
    bad = {"ACTIONS_RESULTS_URL": "http://192.0.2.1/", "ACTIONS_RUNTIME_TOKEN": "x"}
    finding = await found(tmp_path, None, **bad)
    assert (finding.verdict, "must be https" in finding.found, "the runner does" in finding.advice) == (
        FAIL,
        True,
        True,
    )


async def test_a_step_without_the_variables(tmp_path: Path) -> None:
    finding = await found(tmp_path, ACTIONS_RESULTS_URL="https://x.example/")
    assert (finding.verdict, "ACTIONS_RUNTIME_TOKEN not set" in finding.found) == (WARN, True)
    assert "persist: true" in finding.advice


async def test_elsewhere_there_is_none(tmp_path: Path) -> None:
    assert (await found(tmp_path, ACT="true")).verdict is SKIP
    (finding,) = await findings(examine, patient(tmp_path))
    assert (finding.verdict, "only a job" in finding.found) == (SKIP, True)


ROW = {"name": "actions", "why": "", "calls": 3}


@pytest.mark.parametrize(
    ("stores", "verdict", "said"),
    [
        ([ROW], PASS, "made 3 calls"),
        ([ROW | {"calls": 0}], WARN, "no call yet"),
        ([ROW | {"why": "limited"}], WARN, "trouble with it: limited"),
        ([{"name": "s3"}], WARN, "does not use it"),
    ],
)
async def test_a_running_node_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stores: list[Any], verdict: CheckVerdict, said: str
) -> None:
    monkeypatch.setattr(actions_examination, "ask", lambda path, target: json.loads(json.dumps({"stores": stores})))
    finding = await found(tmp_path, tmp_path / "node.sock")
    assert (finding.verdict, said in finding.found) == (verdict, True), finding


async def test_a_node_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(path: str, target: str) -> Any:
        raise NodeError("the node does not answer /-/stats: TimeoutError")

    monkeypatch.setattr(actions_examination, "ask", silent)
    finding = await found(tmp_path, tmp_path / "node.sock")
    assert (finding.verdict, "does not answer" in finding.found) == (WARN, True)
