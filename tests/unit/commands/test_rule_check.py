"""The rule against a GitHub: here the stand-in, which follows it, and one that does not."""

from __future__ import annotations

import hashlib

import pytest
from aiohttp import web
from click.testing import CliRunner

from p2pcache.cli import main
from p2pcache.testing import StandIn
from tests.support.threads import in_a_thread

REPO = "octo/app"


def run(upstream: str, monkeypatch: pytest.MonkeyPatch, **tokens: str) -> tuple[int, dict[str, list[str]]]:
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "P2PCACHE_SECOND_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, token in tokens.items():
        monkeypatch.setenv(name, token)
    said = CliRunner().invoke(main, ["rule-check", REPO, "--upstream", upstream])
    assert "gh" + "p_" not in said.output
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.stdout.splitlines() if "|" in line]
    return said.exit_code, {row[0]: row[1:] for row in rows[2:]}


def test_it_is_not_in_the_main_help() -> None:
    assert "rule-check" not in CliRunner().invoke(main, ["--help"]).output


@in_a_thread
async def github(ready) -> None:
    async with StandIn() as github:
        github.repository(REPO)
        github.token("ghp_one")
        github.token("ghp_two")
        await ready(github.url)


def test_where_the_rule_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    with github() as url:
        status, rows = run(url, monkeypatch, GITHUB_TOKEN="ghp_one", P2PCACHE_SECOND_TOKEN="ghp_two")
    assert status == 0
    assert [row[1] for row in rows.values()] == ["holds"] * 11
    assert rows["a repository"] == ["SHA-256", "holds", "304", "304"]
    assert rows["a raw file"] == ["git blob id", "holds", "304", "304"]
    assert rows["a file as JSON"] == ["git object id", "holds", "304", ""]
    assert rows["an empty Accept"][2] == "hashed"


@in_a_thread
async def another_rule(ready) -> None:
    async def answer(request: web.Request) -> web.Response:
        tag = hashlib.sha256(request.path.encode()).hexdigest()
        return web.Response(body=b"{}", headers={"etag": f'"{tag}"', "content-type": "application/json"})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await ready(f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


def test_where_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with another_rule() as url:
        status, rows = run(url, monkeypatch)
    assert status == 1
    assert rows["a repository"][1] == rows["several tags in If-None-Match"][1] == rows["a file as JSON"][1] == "FAILS"
    assert rows["a 304 is free"][1].startswith("not tried")


def test_an_upstream_out_of_reach_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    said = CliRunner().invoke(main, ["rule-check", REPO, "--upstream", "http://127.0.0.1:1"])
    assert said.exit_code == 1
    assert "Traceback" not in said.output
