"""No answer is served for a request that GitHub would have answered otherwise, or that wants GitHub asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from p2pcache.gateway.http_upstream import UpstreamResponse
from p2pcache.node import Node
from p2pcache.testing import StandIn
from tests.support.gateway import Upstream, ask, connect, get, running

REPO = "/repos/octo/app"
QUERY = json.dumps({"query": '{ repository(owner: "octo", name: "app") { name } }'}).encode()
FIELDS = [
    "X-GitHub-Next-Global-ID: 1",
    "GraphQL-Features: merge_queue",
    "X-Requested-With: XMLHttpRequest",
    "X-GitHub-New: a",
]


@pytest.fixture
async def echoing(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Node]:
    """GitHub's place, with a server whose answer depends on every field it is sent."""

    async def answer(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = upstream.heads[-1].lower()
        if "content-length" in head:
            await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        said = [line for line in head.split("\r\n")[1:] if line.partition(":")[0].startswith(("x-", "graphql-"))]
        body = json.dumps({"data": sorted(said)}).encode()
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "x"\r\n')
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    upstream.answers(answer)
    async with running(upstream.url, tmp_path) as node:
        yield node


def graphql(*lines: str) -> bytes:
    return get("/graphql", f"Content-Length: {len(QUERY)}", *lines, method="POST") + QUERY


@pytest.mark.parametrize("request_", [lambda *lines: get(REPO, *lines), graphql], ids=["REST", "GraphQL"])
async def test_fields_that_change_the_answer(echoing: Node, upstream: Upstream, request_: Callable[..., Any]) -> None:
    """Asked three times over, so that the cold path, memory and the prepared answers all agree."""
    for _ in range(3):
        for lines in [(), *((field,) for field in FIELDS), tuple(FIELDS), ("X-GitHub-New: b",)]:
            reply = await ask(echoing, request_(*lines))
            assert json.loads(reply.body)["data"] == sorted(line.lower() for line in lines)
    assert len(upstream.heads) == len(FIELDS) + 3  # each kind of request was paid once


@pytest.mark.parametrize("line", ["Cache-Control: no-cache", "Cache-Control: max-age=0", "Pragma: no-cache"])
async def test_a_request_that_wants_github_asked(node: Node, github: StandIn, line: str) -> None:
    for _ in range(3):
        await ask(node, get(REPO))
    github.edit("octo/app", description="changed elsewhere")
    asked = len(github.calls)
    reply = await ask(node, get(REPO, line))
    assert json.loads(reply.body)["description"] == "changed elsewhere"
    reply = await ask(node, get(REPO, line))
    assert reply.headers["cache-status"].startswith("p2pcache; hit; ")
    assert reply.headers["cache-status"].endswith("detail=revalidated")
    assert [call.status for call in github.calls[asked:]] == [200, 304]
    async with connect(node) as client:  # on one connection, behind hits
        for lines, more in (((), 0), ((line,), 1), ((), 0)):
            before = len(github.calls)
            await client.send(get(REPO, *lines))
            assert (await client.reply()).status == 200
            assert len(github.calls) == before + more


@pytest.mark.parametrize("line", ["Cache-Control: no-cache", "Vary: *", "Cache-Control: private, max-age=0"])
async def test_an_answer_that_wants_to_be_asked_for(
    node: Node, github: StandIn, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, value = line.lower().partition(": ")
    real = node.upstream.send

    async def sent(*arguments: Any) -> UpstreamResponse:
        answer = await real(*arguments)
        answer.headers = {**answer.headers, name: value}
        return answer

    monkeypatch.setattr(node.upstream, "send", sent)
    for _ in range(3):
        assert (await ask(node, get(REPO))).status == 200
    assert [call.status for call in github.calls] == [200, 304, 304]
