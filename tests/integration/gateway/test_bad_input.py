"""What no client should send gets a clear refusal, never a traceback, a hang or a smuggled request."""

import asyncio
import json
import logging
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2pcache.gateway.bounds import ClientBounds
from p2pcache.node import Node
from p2pcache.testing import StandIn

from .conftest import LIMIT, ask, connect, get, running

H = b"Host: api.github.com\r\n"


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("raw", "status", "sentence"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, "HTTP/1.1 gateway", id="no HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "HTTP/1.1 gateway", id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "HTTP/1.1 gateway", id="HTTP/2"),
        pytest.param(b"GET /\r\n\r\n", 505, "HTTP/1.1", id="HTTP/0.9"),
        pytest.param(b"GET / HTTP/1.2\r\n" + H + b"\r\n", 400, "HTTP/1.1", id="HTTP/1.2"),
        pytest.param(b"BREW /pot HTTP/1.1\r\n" + H + b"\r\n", 400, "HTTP/1.1 gateway", id="unknown method"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, "exactly one Host", id="no Host"),
        pytest.param(b"GET / HTTP/1.1\r\n" + H + H + b"\r\n", 400, "exactly one Host", id="two Hosts"),
        pytest.param(b'GET / HTTP/1.1\r\nHost: 127.0.0.1"x\r\n\r\n', 400, "exactly one Host", id="Host that is none"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: 1.2.3.4:99999999\r\n\r\n", 400, "exactly one Host", id="long port"),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: evil.example:80\r\n\r\n", 421, "Host names something else", id="foreign"
        ),
        pytest.param(b"GET / HTTP/1.1\r\n" + H + b"X: a\r\n b\r\n\r\n", 400, "HTTP/1.1", id="folded line"),
        pytest.param(b"GET / HTTP/1.1\r\n" + H + b"X : a\r\n\r\n", 400, "HTTP/1.1", id="space before colon"),
        pytest.param(b"GET / HTTP/1.1\r\n" + H + b"X: a\x00b\r\n\r\n", 400, "HTTP/1.1", id="NUL in a header"),
        pytest.param(b"GET /\x00 HTTP/1.1\r\n" + H + b"\r\n", 400, "HTTP/1.1", id="NUL in the target"),
        pytest.param(b"GET /\xe9 HTTP/1.1\r\n" + H + b"\r\n", 400, "HTTP/1.1", id="Latin-1 target"),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + H + b"X: \xe9\r\n\r\n", 400, "neither ASCII nor UTF-8", id="Latin-1 value"
        ),
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", 400, "HTTP/1.1", id="bare line feeds"),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "HTTP", id="lengths"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "HTTP",
            id="length and chunks",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: gzip, identity\r\n\r\n", 400, "HTTP", id="coding"
        ),
        pytest.param(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: -1\r\n\r\n", 400, "HTTP", id="negative length"),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + H + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400, "HTTP", id="huge length"
        ),
        pytest.param(b"CONNECT api.github.com:443 HTTP/1.1\r\n" + H + b"\r\n", 405, "HTTPS_PROXY", id="tunnel"),
        pytest.param(b"GET ftp://api.github.com/ HTTP/1.1\r\n" + H + b"\r\n", 400, "whole http URL", id="ftp URL"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n", 400, "must be a path", id="asterisk"),
        pytest.param(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + H + b"\r\n", 431, "larger than", id="long target"),
        pytest.param(b"GET / HTTP/1.1\r\n" + H + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431, "larger", id="long header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + H + b"A: b\r\n" * 20_000 + b"\r\n", 431, "larger", id="many headers"),
        pytest.param(b"GET / HTTP/1.1\r\n" + H + b"X: " + b"a" * 1_000_000, 431, "larger than", id="endless header"),
    ],
)
async def test_refused_in_one_sentence(node: Node, raw: bytes, status: int, sentence: str) -> None:
    async with connect(node) as client:
        await client.send(raw)
        reply = await client.reply()
        assert reply.status == status
        assert sentence in json.loads(reply.body)["message"]
        assert reply.headers["cache-status"].startswith("p2pcache; detail=")
        if reply.headers.get("connection") == "close":
            await client.ended()


async def test_a_whole_url_is_asked_of_the_host_it_names(node: Node, github: StandIn) -> None:
    reply = await ask(node, get("http://api.github.com/repos/octo/app?x=1", host="evil.example"))
    assert reply.status == 200
    assert github.calls[-1].target == "/repos/octo/app?x=1"


async def test_a_refusal_does_not_overtake_an_earlier_answer(node: Node, github: StandIn) -> None:
    github.fault(delay=0.2)
    async with connect(node) as client:
        await client.send(get("/repos/octo/app") + b"nonsense\r\n\r\n")
        assert (await client.reply()).status == 200
        assert await client.ended() == b""


async def test_a_broken_chunk_ends_the_request(node: Node, github: StandIn) -> None:
    async with connect(node) as client:
        await client.send(get("/markdown", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\nzz\r\n")
        assert (await client.reply()).status == 400
        await client.ended()


async def test_trailer_fields_are_nobodys_headers(node: Node, github: StandIn) -> None:
    body = b"1\r\n{\r\n1\r\n}\r\n0\r\nAuthorization: token ghp_other\r\nX-Extra: 1\r\n\r\n"
    await ask(node, get("/repos/octo/app/labels", "Transfer-Encoding: chunked", method="POST") + body)
    assert github.calls[-1].token == "ghp_reader"
    assert "x-extra" not in github.calls[-1].headers


async def test_a_slow_head_is_refused(github: StandIn, tmp_path: Path) -> None:
    bounds = ClientBounds(head_seconds=0.2)
    async with running(github.url, tmp_path, bounds) as node, connect(node) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: api")
        reply = await client.reply()
        assert reply.status == 408
        assert "did not arrive" in json.loads(reply.body)["message"]
        await client.ended()


async def test_a_silent_client_is_let_go(github: StandIn, tmp_path: Path) -> None:
    bounds = ClientBounds(head_seconds=0.1)
    async with running(github.url, tmp_path, bounds) as node, connect(node) as client:
        assert await client.ended() == b""


async def test_a_slow_second_head_is_refused(github: StandIn, tmp_path: Path) -> None:
    bounds = ClientBounds(head_seconds=0.2)
    async with running(github.url, tmp_path, bounds) as node, connect(node) as client:
        await client.send(get("/repos/octo/app"))
        assert (await client.reply()).status == 200
        await client.send(b"GET /")
        assert (await client.reply()).status == 408


@pytest.mark.parametrize("target", ["/graphql", "/markdown"])
async def test_a_body_that_stops_is_refused(github: StandIn, tmp_path: Path, target: str) -> None:
    bounds = ClientBounds(body_seconds=0.2)
    async with running(github.url, tmp_path, bounds) as node, connect(node) as client:
        await client.send(get(target, "Content-Length: 100", method="POST") + b"{")
        reply = await client.reply()
        assert reply.status == 408
        assert "did not go on" in json.loads(reply.body)["message"]
        await client.ended()


async def test_one_connection_too_many_is_told_so(github: StandIn, tmp_path: Path) -> None:
    bounds = ClientBounds(connections=1)
    async with running(github.url, tmp_path, bounds) as node, connect(node) as first:
        await first.send(get("/repos/octo/app"))
        assert (await first.reply()).status == 200
        async with connect(node) as second:
            reply = await second.reply()
            assert reply.status == 503
            assert "connections already" in json.loads(reply.body)["message"]


async def test_a_client_that_does_not_read_is_cut_off(github: StandIn, tmp_path: Path) -> None:
    github.edit("octo/app", file="large.txt", content="x" * (6 << 20))
    async with running(github.url, tmp_path, ClientBounds(write_seconds=0.3)) as node:
        with socket.socket(socket.AF_UNIX) as idle:
            idle.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(idle, str(node.socket))
            await loop.sock_sendall(
                idle, get("/repos/octo/app/contents/large.txt", "Accept: application/vnd.github.raw+json")
            )
            hung_up = select.poll()
            hung_up.register(idle, 0)  # POLLHUP comes unasked, and without anything being read
            assert await asyncio.to_thread(hung_up.poll, LIMIT * 1000)
            assert github.calls


FIELD = st.one_of(
    st.sampled_from(
        [
            b"Host: api.github.com",
            b"Host: 127.0.0.1",
            b"Connection: close",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Expect: 100-continue",
            b"Content-Length: 0",
            b"If-None-Match: *",
            b"If-Modified-Since: yesterday",
            b"Accept-Encoding: gzip;q=x, *",
            b"Range: bytes=0-1",
            b"P2pcache-Explain: 1",
        ]
    ),
    st.binary(max_size=40),
)
TARGET = st.one_of(
    st.sampled_from(
        [b"/", b"//", b"/-/", b"/-/stats", b"/api/v3", b"/api/graphql", b"/repos/octo/app", b"/?%zz", b"*"]
    ),
    st.binary(max_size=60),
)


@given(
    method=st.sampled_from([b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"TRACE", b"get", b""]),
    target=TARGET,
    version=st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/3", b""]),
    fields=st.lists(FIELD, max_size=6),
    cut=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_head_is_answered_or_refused(
    node: Node, method: bytes, target: bytes, version: bytes, fields: list[bytes], cut: bool
) -> None:
    raw = b"\r\n".join([b" ".join([method, target, version]), *fields, b"Host: api.github.com", b"", b""])
    async with connect(node) as client, asyncio.timeout(LIMIT):
        await client.send(raw[:-3] if cut else raw)
        if cut:
            client.writer.write_eof()
            answer = await client.ended()
        else:
            answer = await client.reader.readuntil(b"\r\n\r\n")
    statuses = [int(line[9:12]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert cut or statuses
    assert all(status < 500 or status == 505 for status in statuses), answer
