"""Check 9: against the stand-in, which follows the rule, and with what GitHub, the network and a user can do wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from p2pcache.doctor import conditional_reads, github_api
from p2pcache.doctor.conditional_reads import JSON
from p2pcache.doctor.finding import CheckFinding, CheckVerdict
from p2pcache.doctor.github_api import examine
from p2pcache.github import etag
from p2pcache.testing import StandIn
from tests.support.http_service import http_service
from tests.support.patients import findings, patient

PASS, WARN, FAIL, SKIP = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL, CheckVerdict.SKIP
TOKEN, JOBS = "ghp_" + "o" * 36, "ghs_" + "j" * 36
REPO = "octo/app"


@pytest.fixture
async def github() -> AsyncIterator[StandIn]:
    async with StandIn() as github:
        github.repository(REPO)
        github.token(TOKEN)
        github.token(JOBS, repos=[REPO])
        yield github


async def found(directory: Path, upstream: str, **variables: str) -> list[CheckFinding]:
    given = {"CACHE_UPSTREAM": upstream, "GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": REPO, **variables}
    found = await findings(examine, patient(directory, {}, **given))
    assert TOKEN not in repr(found)
    assert JOBS not in repr(found)
    return found


async def test_a_token_its_quota_and_the_rule(github: StandIn, tmp_path: Path) -> None:
    token, quota, rule = await found(tmp_path, github.url)
    assert (token.verdict, quota.verdict, rule.verdict) == (PASS, PASS, PASS)
    assert "a personal access token; its scope is token:" in token.found
    assert "5000 of 5000 calls are left until" in quota.found
    assert "gives a 304 for it, which was free (one call was charged for the read)" in rule.found
    assert [(call.target, call.status) for call in github.calls] == [
        ("/rate_limit", 200),
        (f"/repos/{REPO}", 200),
        (f"/repos/{REPO}", 304),
    ]
    assert github.charged() == 1


@pytest.mark.parametrize(
    ("proxy", "verdict", "sentence"),
    [
        ("socks5://proxy.example:1080", WARN, "HTTP_PROXY names no HTTP proxy, and is left out"),
        ("http://u:hunter2@127.0.0.1:9", PASS, "GitHub is reached through the proxy 127.0.0.1:9 (HTTP_PROXY)"),
    ],
)
async def test_the_proxy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, verdict: CheckVerdict, sentence: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    _, way, reached = await found(tmp_path, "http://api.invalid")
    assert (way.verdict, way.found.startswith(sentence)) == (verdict, True)
    assert (reached.verdict, "through the proxy 127.0.0.1:9" in reached.found) == (FAIL, verdict is PASS)
    assert "hunter2" not in f"{way}{reached}"


async def test_a_jobs_own_token_is_the_scope_of_its_repository(github: StandIn, tmp_path: Path) -> None:
    job = {"GITHUB_TOKEN": JOBS, "CACHE_JOB_TOKEN": JOBS, "GITHUB_ACTIONS": "true"}
    token, *_ = await found(tmp_path, github.url, **job)
    assert "an installation token" in token.found
    assert f"its scope is actions:{REPO}" in token.found


async def test_without_a_repository_the_user_is_read(github: StandIn, tmp_path: Path) -> None:
    *_, rule = await found(tmp_path, github.url, GITHUB_REPOSITORY="")
    assert (rule.verdict, "/user has the computed ETag" in rule.found) == (PASS, True)
    *_, rule = await found(tmp_path, github.url, GITHUB_REPOSITORY="", GITHUB_TOKEN=JOBS)
    assert (rule.verdict, "GITHUB_REPOSITORY" in rule.found) == (SKIP, True)


async def test_without_a_token_nothing_is_charged(github: StandIn, tmp_path: Path) -> None:
    token, quota, rule = await found(tmp_path, github.url, GITHUB_TOKEN="")
    assert (token.verdict, quota.verdict, rule.verdict) == (SKIP, PASS, SKIP)
    assert "60 of 60" in quota.found
    assert github.charged() == 0


async def test_a_token_that_is_refused(github: StandIn, tmp_path: Path) -> None:
    github.revoke(TOKEN)
    _, quota = await found(tmp_path, github.url)
    assert (quota.verdict, "does not accept the token (401)" in quota.found) == (FAIL, True)
    assert "set GITHUB_TOKEN" in quota.advice


@pytest.mark.parametrize(
    ("limit", "left", "advice"), [(20, "1 of 20 calls are left", "share more"), (19, "0 of 19", "wait until")]
)
async def test_a_quota_that_runs_out(github: StandIn, tmp_path: Path, limit: int, left: str, advice: str) -> None:
    github.token("ghp_low", limit=limit)
    for _ in range(19):
        github.ask("GET", "/user", {"authorization": "Bearer ghp_low"})
    _, quota, *rest = await found(tmp_path, github.url, GITHUB_TOKEN="ghp_low")
    assert (quota.verdict, left in quota.found, advice in quota.advice) == (WARN, True, True), quota
    assert bool(rest) is (limit == 20), "with nothing left nothing is asked"


BODY = '{"id": 1}'
LIMITS = b'{"resources": {}}'


async def test_an_upstream_with_another_rule(tmp_path: Path) -> None:
    def tagged(asked: Any) -> tuple[int, bytes]:
        return 200, b'{"id": 1}'

    async with http_service({"/rate_limit": LIMITS, f"/repos/{REPO}": tagged}) as service:
        _, quota, rule = await found(tmp_path, service.url)
    assert (quota.verdict, "no rate limits" in quota.found) == (SKIP, True)
    assert (rule.verdict, "no ETag" in rule.found, "rule-check" in rule.advice) == (WARN, True, True)


def answering(github: StandIn, tag: str) -> None:
    """Have it answer reads of the repository with this tag, whatever they ask."""
    headers = {"etag": tag, "vary": "Accept, Authorization, Cookie", "content-type": "application/json"}
    github.fault(match=f"*/repos/{REPO}", status=200, body=BODY, headers=headers, times=None)


@pytest.mark.parametrize(("path", "verdict"), [("", FAIL), ("/api/v3", WARN)], ids=["github.com", "GHES"])
async def test_a_tag_that_is_not_the_computed_one(
    github: StandIn, tmp_path: Path, path: str, verdict: CheckVerdict
) -> None:
    answering(github, '"' + "0" * 64 + '"')
    *_, rule = await found(tmp_path, github.url + path)
    assert (rule.verdict, "is not the computed one (one call was charged)" in rule.found) == (verdict, True), rule
    assert "rule-check" in rule.advice


async def test_a_computed_tag_that_gets_no_304(github: StandIn, tmp_path: Path) -> None:
    fields = (JSON, f"Bearer {TOKEN}")
    answering(github, etag.computed(fields, BODY.encode()))
    *_, rule = await found(tmp_path, github.url)
    assert (rule.verdict, "is answered with 200, not 304" in rule.found) == (FAIL, True), rule


async def test_what_changes_meanwhile_breaks_no_rule(
    github: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = conditional_reads.ask

    async def changing(upstream: Any, request: Any, *tags: str) -> Any:
        if tags:
            github.edit(REPO, description="another")
        return await read(upstream, request, *tags)

    monkeypatch.setattr(github_api, "ask", changing)
    *_, rule = await found(tmp_path, github.url)
    assert (rule.verdict, "it changed meanwhile (two calls)" in rule.found) == (PASS, True), rule


async def test_others_with_the_token_make_the_charge_unclear(
    github: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = conditional_reads.ask

    async def busy(upstream: Any, request: Any, *tags: str) -> Any:
        if tags:
            github.ask("GET", "/user", {"authorization": f"Bearer {TOKEN}"})
        return await read(upstream, request, *tags)

    monkeypatch.setattr(github_api, "ask", busy)
    *_, rule = await found(tmp_path, github.url)
    assert (rule.verdict, "free" in rule.found) == (PASS, False), rule
    assert "went from 4999 to 4998" in rule.detail[0]


async def test_a_repository_that_the_token_may_not_read(github: StandIn, tmp_path: Path) -> None:
    *_, rule = await found(tmp_path, github.url, GITHUB_REPOSITORY="octo/other")
    assert (rule.verdict, "status 404 in answer to /repos/octo/other" in rule.found) == (WARN, True)
    assert "read access" in rule.advice


async def test_an_upstream_that_is_no_github(tmp_path: Path) -> None:
    async with http_service({"/rate_limit": (500, b"")}) as service:
        *_, quota = await found(tmp_path, service.url)
    assert (quota.verdict, "status 500" in quota.found) == (WARN, True)
    assert f"{service.url}/rate_limit" in quota.advice


async def test_without_a_network(tmp_path: Path) -> None:
    *_, reached = await found(tmp_path, "http://127.0.0.1:1")
    assert (reached.verdict, "http://127.0.0.1:1" in reached.found) == (FAIL, True)
    assert "HTTPS_PROXY" in reached.advice


async def test_a_token_of_another_host_is_sent_nowhere(github: StandIn, tmp_path: Path) -> None:
    (finding,) = await found(tmp_path, github.url, GITHUB_API_URL="https://github.example/api/v3")
    assert (finding.verdict, "the token is for github.example" in finding.found) == (WARN, True)
    assert github.calls == []


@pytest.mark.parametrize("named", ["no url", "http://127.0.0.1:9/"])
async def test_a_gateway_is_no_other_host(github: StandIn, tmp_path: Path, named: str) -> None:
    token, *_ = await found(tmp_path, github.url, GITHUB_API_URL=named, P2PCACHE_API_URL="http://127.0.0.1:9/")
    assert token.verdict is PASS
