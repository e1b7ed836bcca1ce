"""Whatever a client sends, the node holds a bounded part of it, and others are answered meanwhile."""

import asyncio
import contextlib
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from p2pcache.gateway import protocol
from p2pcache.gateway.bounds import ClientBounds
from p2pcache.github import graphql
from p2pcache.node import Node
from p2pcache.testing import StandIn
from tests.support.gateway import LIMIT, TOKEN, Raw, Upstream, ask, connect, connect_tcp, get, running
from tests.support.processes import running as process

REPO = "/repos/octo/app"
QUERY = b'{"query":"{viewer{login}}"}'
CHUNKED = get("/repos/octo/app/labels", "Transfer-Encoding: chunked", method="POST")


async def flood(client: Raw, piece: bytes, times: int) -> bool:
    """Send until the other side has had enough; whether it said so."""
    with contextlib.suppress(ConnectionError):
        for _ in range(times):
            await client.send(piece)
            await asyncio.sleep(0)
            if vars(client.reader)["_buffer"] or client.reader.at_eof():
                return True
    return False


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        pytest.param(b"1\r\nx\r\n0\r\n", b"X-Trailer: " + b"x" * 5000 + b"\r\n", id="trailer fields"),
        pytest.param(b"1\r\nx\r\n0\r\nX-Trailer: ", b"x" * 5000, id="one trailer field"),
        pytest.param(b"1;", b"extension=" + b"x" * 5000, id="a chunk extension"),
    ],
)
async def test_what_brings_no_body_is_bounded(node: Node, before: bytes, piece: bytes) -> None:
    async with connect(node) as client:
        await client.send(CHUNKED + before)
        assert await flood(client, piece, 4000)
        reply = await client.reply()
        assert reply.status in (400, 431)
    assert (await ask(node, get(REPO))).status == 200


async def test_a_trailer_of_usual_size_is_forgotten(node: Node, github: StandIn) -> None:
    async with connect(node) as client:
        await client.send(CHUNKED + b'10\r\n{"name":"chunk"}\r\n0\r\nX-A: 1\r\n\r\n')
        assert (await client.reply()).status == 201
        await client.send(get(REPO))
        assert (await client.reply()).status == 200
    assert "x-a" not in github.calls[0].headers


async def test_requests_that_wait_on_one_connection_are_bounded(node: Node, github: StandIn) -> None:
    github.fault(delay=0.3)
    async with connect(node) as client:
        await client.send(get("/repos/octo/app?first") + get("/zen") * 5000)
        answered = [await client.reply() for _ in range(protocol.PIPELINED + 1)]
        assert {reply.status for reply in answered} == {200}
        await client.ended()  # what was not answered is the client's to send again (RFC 9112 section 9.3.2)
    assert len(github.calls) == protocol.PIPELINED + 1


async def test_a_long_parse_holds_up_no_memory_hit(
    node: Node, github: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await ask(node, get(REPO))).status == 200
    begun, go = threading.Event(), threading.Event()
    real = graphql.read

    def slow(body: bytes) -> object:
        begun.set()
        assert go.wait(LIMIT)
        return real(body)

    monkeypatch.setattr(graphql, "read", slow)
    asking = asyncio.create_task(ask(node, get("/graphql", f"Content-Length: {len(QUERY)}", method="POST") + QUERY))
    assert await asyncio.to_thread(begun.wait, LIMIT)
    for _ in range(3):
        assert (await ask(node, get(REPO))).headers["cache-status"].endswith("detail=memory")
    go.set()
    assert (await asking).status == 200


async def test_graphql_beyond_what_is_held_is_passed_through_and_not_gathered(github: StandIn, tmp_path: Path) -> None:
    half = get("/graphql", "Content-Length: 900", method="POST")
    rest = QUERY + b" " * (900 - len(QUERY))
    bounds = ClientBounds(gathered_bytes=1000)
    async with running(github.url, tmp_path, bounds) as node, connect(node) as first:
        await first.send(half + rest[:-1])
        async with asyncio.timeout(LIMIT):
            server: Any = node._server
            while server._server.config.app._gathered < 899:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        for _ in range(2):
            passed = await ask(node, half + rest)
            assert (passed.status, passed.headers["cache-status"]) == (200, "p2pcache; fwd=method; fwd-status=200")
        assert server._server.config.app._gathered == 899
        small = get("/graphql", f"Content-Length: {len(QUERY)}", method="POST") + QUERY
        assert [(await ask(node, small)).headers["cache-status"].split(";")[1] for _ in range(2)][1] == " hit"
        await first.send(rest[-1:])
        assert (await first.reply()).status == 200
        assert (await ask(node, half + rest)).headers["cache-status"].startswith("p2pcache; hit")


async def test_graphql_that_is_only_announced_takes_no_room(github: StandIn, tmp_path: Path) -> None:
    query = get("/graphql", f"Content-Length: {len(QUERY)}", method="POST") + QUERY
    bounds = ClientBounds(gathered_bytes=1000)
    async with running(github.url, tmp_path, bounds) as node, contextlib.AsyncExitStack() as stack:
        await ask(node, get(REPO))
        for _ in range(20):
            idle = await stack.enter_async_context(connect(node))
            await idle.send(get("/graphql", "Transfer-Encoding: chunked", method="POST"))
        assert (await ask(node, query)).status == 200
        assert (await ask(node, get(REPO))).headers["cache-status"].endswith("detail=memory"), "a query drops nothing"


HUGE = [
    pytest.param(json.dumps({"query": "{" + "a " * 200_000 + "}"}), id="a long document"),
    pytest.param(json.dumps({"query": "{" + "a," * 10_000 + "}"}), id="many tokens"),
    pytest.param(json.dumps({"query": "{a" * 5_000 + "}" * 5_000}), id="deep"),
    pytest.param(json.dumps({"query": "{a}", "variables": {"x": [{}] * 200_000}}), id="many variables"),
]


@pytest.mark.parametrize("body", HUGE)
async def test_a_graphql_request_that_is_too_much_is_githubs(upstream: Upstream, tmp_path: Path, body: str) -> None:
    async def answer(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(body)) == body.encode()
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"data":{}}')

    upstream.answers(answer)
    async with running(upstream.url, tmp_path) as node:
        for times in (1, 2):
            reply = await ask(node, get("/graphql", f"Content-Length: {len(body)}", method="POST") + body.encode())
            assert reply.headers["cache-status"].partition(";")[2].split(";")[0] in (" fwd=bypass", " fwd=method")
            assert len(upstream.heads) == times


async def test_with_descriptors_short_a_client_gets_503_and_github_is_reached(tmp_path: Path) -> None:
    files = 200
    async with StandIn() as github:
        github.populate()
        github.token(TOKEN, repos=["octo/app"])
        where = ["--listen", "127.0.0.1:0", "--socket", str(tmp_path / "s"), "--dir", str(tmp_path / "d"), "--no-p2p"]
        life = contextlib.ExitStack()
        start = process("p2pcache", "serve", *where, "--upstream", github.url, home=tmp_path, files=files)
        said = await asyncio.to_thread(life.enter_context, start)
        node = Node.__new__(Node)
        node.address = said["api_url"]
        with life, contextlib.ExitStack() as others:
            async with connect_tcp(node) as first:
                await first.send(get("/zen", host="127.0.0.1"))
                assert (await first.reply()).status == 200
                port = int(node.address.rpartition(":")[2])
                for _ in range(2 * files):
                    others.enter_context(socket.create_connection(("127.0.0.1", port), timeout=LIMIT))
                async with connect_tcp(node) as late:
                    assert (await late.reply()).status == 503
                for n in range(20):  # none of these was asked before: each is GitHub's to answer
                    await first.send(get(f"{REPO}?n={n}", host="127.0.0.1"))
                    assert (await first.reply()).status == 200
            others.close()
            for _ in range(200):
                async with connect_tcp(node) as again:
                    await again.send(get("/zen", host="127.0.0.1"))
                    if (await again.reply()).status == 200:
                        break
                await asyncio.sleep(0.05)
            else:
                pytest.fail("who comes when the others have gone is not answered")
