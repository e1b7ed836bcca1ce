"""Files, diffs and patches arrive byte for byte, also where the gateway moves the URLs of GitHub's own JSON."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from p2pcache.node import Node
from p2pcache.testing import StandIn
from tests.support.gateway import Upstream, ask, connect, get, running

BODY = b'{"url":"https://api.github.com/repos/octo/app"}'
SIZE = 9 << 20

RAW = [
    "application/vnd.github.raw+json; charset=utf-8",
    "application/vnd.github.v3.raw+json; charset=utf-8",
    "application/vnd.github.html+json; charset=utf-8",
    "application/vnd.github.text+json",
    "application/vnd.github.diff; charset=utf-8",
    "application/vnd.github.patch; charset=utf-8",
    "application/vnd.github.v3.sha+json",
    "application/x-ndjson",
    "application/jsonl",
    "text/plain; charset=utf-8; profile=json",
    "text/x-json",
    "",
]
JSON = [
    "application/json; charset=utf-8",
    "Application/JSON",
    "application/vnd.github+json",
    "application/vnd.github.v3+json; charset=utf-8",
    "application/vnd.github.v3.object+json; charset=utf-8",
    "application/vnd.github.object",
]


@pytest.fixture
async def typed(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Node]:
    """A node before an upstream that gives `BODY` the content type that a test sets."""

    async def answer(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = f"Content-Type: {upstream.type}\r\n" if upstream.type else ""
        writer.write(f'HTTP/1.1 200 OK\r\n{line}ETag: "x"\r\nContent-Length: {len(BODY)}\r\n\r\n'.encode() + BODY)

    upstream.answers(answer)
    async with running(upstream.url, tmp_path) as node:
        yield node


TARGETS = ["/repos/octo/app/contents/x.json", "/repos/octo/app/actions/jobs/1/logs", "/repos/octo/app/unknown"]


@pytest.mark.parametrize("target", TARGETS, ids=["kept", "never", "unknown"])
@pytest.mark.parametrize("kind", RAW)
async def test_what_is_no_json_of_github_is_left_alone(typed: Node, upstream: Upstream, target: str, kind: str) -> None:
    upstream.type = kind
    for _ in range(3):  # fetched, from memory, and as a prepared answer
        reply = await ask(typed, get(target, host="127.0.0.1:1"))
        assert (reply.status, reply.body) == (200, BODY)
        assert reply.headers["etag"] == '"x"'


@pytest.mark.parametrize("target", TARGETS, ids=["kept", "never", "unknown"])
@pytest.mark.parametrize("kind", JSON)
async def test_githubs_json_stays_on_the_gateway(typed: Node, upstream: Upstream, target: str, kind: str) -> None:
    upstream.type = kind
    for _ in range(3):
        reply = await ask(typed, get(target, host="127.0.0.1:1"))
        assert json.loads(reply.body)["url"] == "http://127.0.0.1:1/repos/octo/app"


@pytest.mark.parametrize("accept", ["application/vnd.github.raw+json", "application/vnd.github.v3.raw"])
async def test_a_file_with_githubs_addresses_in_it(node: Node, github: StandIn, accept: str) -> None:
    github.edit("octo/app", file="links.json", content=BODY.decode())
    for _ in range(3):
        reply = await ask(
            node,
            get("/repos/octo/app/contents/links.json", f"Accept: {accept}", host=node.address.removeprefix("http://")),
        )
        assert reply.body == BODY


async def test_a_file_that_is_packed_for_its_client_is_the_same_file(node: Node, github: StandIn) -> None:
    """What is asked for with gzip may be packed, and unpacks to what GitHub has."""
    import gzip

    text = BODY.decode() * 100
    github.edit("octo/app", file="long.json", content=text)
    for _ in range(3):
        async with connect(node) as client:
            target = "/repos/octo/app/contents/long.json"
            await client.send(
                get(target, "Accept: application/vnd.github.raw+json", "Accept-Encoding: gzip", host="127.0.0.1:1")
            )
            reply = await client.reply()
        body = gzip.decompress(reply.body) if "content-encoding" in reply.headers else reply.body
        assert body.decode() == text
