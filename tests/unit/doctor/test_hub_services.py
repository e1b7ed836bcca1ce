"""Check 13: OIDC as a job has it and as a hub needs it, webhooks, MCP."""

import functools
import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from p2pcache.cache.sealing import generate_secret
from p2pcache.doctor import hub_services
from p2pcache.doctor.finding import CheckFinding, CheckVerdict
from p2pcache.doctor.hub_services import KEY, PERMISSION, URL, examine
from p2pcache.gateway.small_answers import SmallAnswerError
from p2pcache.hub.issuer_keys import IssuerKeys
from tests.support import oidc
from tests.support.patients import SECRET, fake_node, findings, patient

HUB = "/dns4/hub.example.org/tcp/9100/p2p/12D3KooWPHVHa65ejyE1E3a1pMSai541WLWqbM7XYhW5inqnib9R"
RUNNER = {URL: "https://runner.example.org/token?x=1", KEY: "5ecre7"}
HOOK = generate_secret()
DOCUMENTS = {
    f"{oidc.ISSUER}/.well-known/openid-configuration": oidc.configuration(),
    f"{oidc.ISSUER}/.well-known/jwks": oidc.key_document("one"),
}


async def only(*given: Any, **variables: Any) -> CheckFinding:
    (finding,) = await findings(examine, patient(*given, **variables))
    return finding


async def test_where_there_is_nothing_of_it_it_does_not_apply(tmp_path: Path) -> None:
    assert (await only(tmp_path)).verdict is CheckVerdict.SKIP


async def test_a_job_that_can_prove_itself_passes_and_its_token_is_not_shown(tmp_path: Path) -> None:
    finding = await only(tmp_path, **RUNNER, CACHE_BOOTSTRAP_PEERS=HUB)
    assert finding.verdict is CheckVerdict.PASS
    assert "5ecre7" not in repr(finding)
    assert "not needed" in (await only(tmp_path, **RUNNER, CACHE_SECRET=SECRET)).found


@pytest.mark.parametrize("name", [URL, KEY])
async def test_half_of_the_runners_variables_is_a_failure(tmp_path: Path, name: str) -> None:
    finding = await only(tmp_path, **{name: RUNNER[name]})
    assert (finding.verdict, finding.advice) == (CheckVerdict.FAIL, PERMISSION)
    assert name in finding.found


async def test_a_job_without_any_proof_is_a_warning(tmp_path: Path) -> None:
    finding = await only(tmp_path, GITHUB_ACTIONS="true", CACHE_BOOTSTRAP_PEERS=HUB)
    assert (finding.verdict, finding.advice) == (CheckVerdict.WARN, PERMISSION)


async def test_a_token_for_no_hub_is_a_warning(tmp_path: Path) -> None:
    finding = await only(tmp_path, **RUNNER)
    assert finding.verdict is CheckVerdict.WARN
    assert "CACHE_BOOTSTRAP_PEERS" in finding.advice


FLAGS = {"hub": "true"}
LISTS = {"CACHE_SECRET": SECRET, "CACHE_OIDC_OWNERS": "1", "CACHE_OIDC_ISSUER": oidc.ISSUER}


class TestHub:
    @pytest.fixture(autouse=True)
    def _without_mcp(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("p2pcache.hub.mcp.installed", lambda: False)

    async def first(self, *given: Any, **variables: Any) -> CheckFinding:
        finding, _ = await findings(examine, patient(*given, **variables))
        return finding

    def published(self, monkeypatch: pytest.MonkeyPatch, documents: dict[str, bytes]) -> None:
        async def fetch(url: str) -> bytes:
            if url not in documents:
                raise SmallAnswerError("it answers 503")
            return documents[url]

        monkeypatch.setattr(hub_services, "IssuerKeys", functools.partial(IssuerKeys, fetch=fetch))

    async def test_an_issuer_with_keys_passes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.published(monkeypatch, DOCUMENTS)
        finding = await self.first(tmp_path, FLAGS, **LISTS)
        assert finding.verdict is CheckVerdict.PASS
        assert "publishes 1 key " in finding.found
        assert "60 min old" in finding.detail[0]

    async def test_an_issuer_without_keys_is_a_failure(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.published(monkeypatch, {})
        finding = await self.first(tmp_path, FLAGS, **LISTS)
        assert finding.verdict is CheckVerdict.FAIL
        assert "it answers 503" in finding.found
        assert "CACHE_OIDC_ISSUER" in finding.advice

    async def test_a_signed_delivery_is_taken(self, tmp_path: Path) -> None:
        with fake_node(tmp_path / "node.sock", webhook={"status": "ignored"}) as node:
            finding = await self.first(tmp_path, FLAGS, node.path, CACHE_WEBHOOK_SECRET=HOOK)
        assert finding.verdict is CheckVerdict.PASS
        ((_, headers, body),) = node.received
        signature = hmac.new(HOOK.encode(), body, hashlib.sha256).hexdigest()
        assert headers["X-Hub-Signature-256"] == f"sha256={signature}"
        assert HOOK not in repr(finding)

    @pytest.mark.parametrize(
        ("status", "found", "advice"),
        [(401, "started with another", "start the node anew"), (404, "status 404", "CACHE_WEBHOOK_SECRET")],
    )
    async def test_a_delivery_that_is_refused_is_a_failure(
        self, tmp_path: Path, status: int, found: str, advice: str
    ) -> None:
        with fake_node(tmp_path / "node.sock", webhook=status) as node:
            finding = await self.first(tmp_path, FLAGS, node.path, CACHE_WEBHOOK_SECRET=HOOK)
        assert finding.verdict is CheckVerdict.FAIL
        assert found in finding.found
        assert advice in finding.advice

    async def test_a_weak_webhook_secret_is_a_failure(self, tmp_path: Path) -> None:
        finding = await self.first(tmp_path, FLAGS, CACHE_WEBHOOK_SECRET="weak")
        assert finding.verdict is CheckVerdict.FAIL
        assert "CACHE_WEBHOOK_SECRET" in finding.found
        assert "p2pcache keygen" in finding.advice

    async def test_a_webhook_secret_without_a_node_is_judged_alone(self, tmp_path: Path) -> None:
        finding = await self.first(tmp_path, FLAGS, CACHE_WEBHOOK_SECRET=HOOK)
        assert finding.verdict is CheckVerdict.PASS
        assert "no node runs here" in finding.found


class TestMcp:
    @pytest.fixture(autouse=True)
    def _with_mcp(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("p2pcache.hub.mcp.installed", lambda: True)

    async def test_a_hub_that_answers_passes(self, tmp_path: Path) -> None:
        with fake_node(tmp_path / "node.sock", mcp={"result": {"serverInfo": {"name": "p2pcache"}}}) as node:
            finding = await only(tmp_path, {"hub": "true"}, node.path)
        assert (finding.verdict, finding.found) == (CheckVerdict.PASS, "MCP answers at /-/mcp")

    @pytest.mark.parametrize("answer", [500, {"error": "no"}])
    async def test_a_hub_that_does_not_is_a_failure(self, tmp_path: Path, answer: Any) -> None:
        with fake_node(tmp_path / "node.sock", mcp=answer) as node:
            finding = await only(tmp_path, {"hub": "true"}, node.path)
        assert finding.verdict is CheckVerdict.FAIL
        assert "docs/mcp.md" in finding.advice

    async def test_without_a_hub_that_runs_it_is_skipped(self, tmp_path: Path) -> None:
        assert (await only(tmp_path, {"hub": "true"})).verdict is CheckVerdict.SKIP
        gone = await only(tmp_path, {"hub": "true"}, tmp_path / "gone.sock")
        assert (gone.verdict, gone.found) == (CheckVerdict.FAIL, "MCP at /-/mcp answers with nothing")
