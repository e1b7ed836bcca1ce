"""The rule against a GitHub: here the stand-in, which follows it, and one that does not."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

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
async def github(ready: Callable[..., Awaitable[None]]) -> None:
    async with StandIn() as github:
        github.repository(REPO)
        github.token("ghp_one")
        github.token("ghp_two")
        await ready(github.url)


def test_where_the_rule_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    with github() as url:
        status, rows = run(url, monkeypatch, GITHUB_TOKEN="ghp_one", P2PCACHE_SECOND_TOKEN="ghp_two")
    assert status == 0
    assert rows.pop("an activity feed")[:2] == ["no rule", "no rule"]
    assert [row[1] for row in rows.values()] == ["holds"] * 10
    assert rows["a repository"] == ["SHA-256", "holds", "304", "304"]
    assert rows["a raw file"] == ["git blob id", "holds", "304", "304"]
    assert rows["a file as JSON"] == ["git object id", "holds", "304", ""]
    assert rows["an empty Accept"][2] == "hashed"


def another_rule(tail: str = "", status: int = 200, tagged: str = "") -> AbstractContextManager[str]:
    """Tags of its own; `status` for what ends in `tail`, and tags for what ends in `tagged` alone."""

    async def answer(request: web.Request) -> web.Response:
        headers = {"content-type": "application/json"}
        if request.path.endswith(tagged):
            headers["etag"] = f'"{hashlib.sha256(request.path.encode()).hexdigest()}"'
        code = status if request.path.endswith(tail) else 200
        return web.Response(status=code, body=b"{}", headers=headers)

    @in_a_thread
    async def served(ready: Callable[..., Awaitable[None]]) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        await ready(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await runner.cleanup()

    return served()


def test_where_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with another_rule() as url:
        status, rows = run(url, monkeypatch)
    assert status == 1
    assert rows["a repository"][1] == rows["several tags in If-None-Match"][1] == rows["a file as JSON"][1] == "FAILS"
    assert rows["an activity feed"][:2] == ["no rule", "no rule"]
    assert "a 304 is free" not in rows, "an anonymous caller's is not"


def test_what_is_not_answered_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with another_rule("/issues", 410) as url:
        _, rows = run(url, monkeypatch)
    assert rows["an empty list, at first sight"][1] == "not tried: 410"
    with another_rule("/labels", 404) as url:
        _, rows = run(url, monkeypatch, GITHUB_TOKEN="ghp_one")
    assert rows["a 304 is free"][1] == "not tried: 404"


def test_what_has_no_tag_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with another_rule(tagged="/nothing") as url:
        _, rows = run(url, monkeypatch, GITHUB_TOKEN="ghp_one")
    verdicts = {name: row[1] for name, row in rows.items()}
    assert verdicts.pop("an activity feed") == "no rule"
    assert verdicts.pop("an empty list, at first sight") == "FAILS", "that is asked with a tag of ours"
    assert set(verdicts.values()) == {"not tried: 200 without a tag"}


@pytest.mark.parametrize(
    ("status", "said"),
    [(404, "no such repository, or the token may not"), (401, "not accepted"), (451, "answered 451")],
)
def test_a_repository_that_cannot_be_read_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, status: int, said: str
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_one")
    with another_rule(status=status) as url:
        done = CliRunner().invoke(main, ["rule-check", REPO, "--upstream", url])
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert said in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["octoapp"], ["octo/app/branches"], ["octo/.."], ["octo/a b"], ["octo/app?x"], [REPO, "--upstream", "foo"]],
    ids=" ".join,
)
def test_what_is_no_repository_or_no_url_is_one_sentence(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_one")
    done = CliRunner().invoke(main, ["rule-check", *arguments])
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "expected" in done.stderr


def test_an_upstream_out_of_reach_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    said = CliRunner().invoke(main, ["rule-check", REPO, "--upstream", "http://127.0.0.1:1"])
    assert said.exit_code == 1
    assert "Traceback" not in said.output
