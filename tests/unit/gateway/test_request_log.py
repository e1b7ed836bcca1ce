"""One line a request, on the way through the application and on the fast path."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pcache.gateway import request_log
from p2pcache.node import Node
from p2pcache.testing import StandIn
from tests.support.gateway import ask, connect, get, github, running

__all__ = ["github"]

REPO = "GET /repos/{owner}/{repo}"
POST = b"POST /repos/octo/app/issues HTTP/1.1\r\nHost: api.github.com\r\nAuthorization: token ghp_reader\r\n"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, Any]]]:
    """What is logged of requests."""
    caplog.set_level(logging.DEBUG, request_log.log.name)
    found: list[dict[str, Any]] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append({**record.request, "message": record.getMessage()})  # type: ignore[attr-defined]

    handler = Collect()
    request_log.log.addHandler(handler)
    yield found
    request_log.log.removeHandler(handler)


def told(line: dict[str, Any]) -> tuple[object, ...]:
    return tuple(line[name] for name in ("route", "rule", "tier", "status"))


async def test_each_request_is_one_line(github: StandIn, tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    async with running(github.url, tmp_path) as node:
        for _ in range(2):
            await ask(node, get("/repos/octo/app?secret=hunter2"))
        await ask(node, POST + b'Content-Length: 13\r\n\r\n{"title":"x"}')
        await ask(node, get("/-/stats", host="localhost"))
        await ask(node, get("/", host="evil.example:81"))
    assert [told(line) for line in lines] == [
        (REPO, lines[0]["rule"], "github", 200),
        (REPO, "fresh", "memory", 200),
        ("POST /repos/{owner}/{repo}/issues", "write", "github", 201),
        ("GET /-/stats", "", "control", 200),
        ("", "", "refused", 421),
    ]
    assert "octo" not in str(lines)
    assert "hunter2" not in str(lines)
    assert all(0 <= line["first_ms"] <= line["ms"] for line in lines)


async def test_a_hit_of_the_fast_path_is_a_line_too(
    github: StandIn, tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    async with running(github.url, tmp_path) as node, connect(node) as client:
        for _ in range(4):
            await client.send(get("/repos/octo/app"))
            await client.reply()
        assert node.ledger.stats()["hits"]["memory"] == 3
    assert [told(line) for line in lines[1:]] == [(REPO, "fresh", "memory", 200)] * 3
    assert lines[-1]["message"].startswith(f"{REPO}: fresh, memory: 200 in 0.")


async def test_nothing_is_written_where_nobody_wants_it(
    github: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "p2pcache")
    assert request_log.observers() == ()
    async with running(github.url, tmp_path) as node:
        await hit(node)
    assert not [record for record in caplog.records if record.name == request_log.log.name]


async def hit(node: Node) -> None:
    async with connect(node) as client:
        for _ in range(3):
            await client.send(get("/repos/octo/app"))
            await client.reply()
