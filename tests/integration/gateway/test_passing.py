"""What is not the cache's business goes through in pieces, both ways, and ends when either side does."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from p2pcache.gateway.http_upstream import Deadlines
from p2pcache.node import Node
from p2pcache.testing import StandIn
from tests.support.gateway import Elsewhere, Upstream

from .conftest import LIMIT, TOKEN, ask, connect, get, running

MIB = 1 << 20


@pytest.fixture
async def behind(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Node]:
    """A node with short deadlines in front of `upstream`."""
    async with running(upstream.url, tmp_path) as node:
        node.upstream.deadlines = Deadlines(connect=2.0, idle=1.0)
        await node.upstream.__aexit__(None, None, None)
        await node.upstream.__aenter__()
        yield node


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


async def take(upstream: Upstream, reader: asyncio.StreamReader, count: int) -> None:
    while count:
        piece = await reader.read(min(count, 1 << 16))
        if not piece:
            raise ConnectionResetError
        count -= len(piece)
        upstream.received += len(piece)
        upstream.changed.set()


async def ok(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = upstream.heads[-1].lower()
    length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
    await take(upstream, reader, length)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")


@pytest.mark.parametrize(
    ("method", "target"), [("OPTIONS", "/repos/octo/app"), ("PROPFIND", "/repos/octo/app"), ("HEAD", "/octocat")]
)
async def test_other_methods_go_through(node: Node, github: StandIn, method: str, target: str) -> None:
    reply = await ask(node, get(target, method=method))
    assert github.calls[-1].method == method
    assert reply.headers["cache-status"].startswith("p2pcache; fwd=")
    assert reply.status == github.calls[-1].status


async def test_a_range_is_githubs_to_answer(node: Node, github: StandIn) -> None:
    for _ in range(2):
        reply = await ask(node, get("/repos/octo/app", "Range: bytes=0-9"))
        assert reply.headers["cache-status"].startswith("p2pcache; fwd=bypass")
    assert github.calls[-1].headers["range"] == "bytes=0-9"


async def test_a_client_is_asked_to_continue(node: Node, github: StandIn) -> None:
    body = b'{"name":"new"}'
    async with connect(node) as client:
        await client.send(
            get("/repos/octo/app/labels", "Expect: 100-continue", f"Content-Length: {len(body)}", method="POST")
        )
        async with asyncio.timeout(LIMIT):
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(body)
        assert (await client.reply()).status == 201


async def test_a_body_in_chunks_goes_through(node: Node, github: StandIn) -> None:
    async with connect(node) as client:
        await client.send(get("/repos/octo/app/labels", "Transfer-Encoding: chunked", method="POST"))
        for piece in (b'{"name":', b'"chunked"', b"}"):
            await client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await client.send(b"0\r\n\r\n")
        reply = await client.reply()
    assert (reply.status, json.loads(reply.body)["name"]) == (201, "chunked")


async def test_a_large_graphql_request_is_streamed(behind: Node, upstream: Upstream) -> None:
    upstream.answers(ok)
    size = 3 * MIB
    async with connect(behind) as client:
        await client.send(get("/graphql", f"Content-Length: {size}", method="POST"))
        await client.send(b"x" * (2 * MIB))
        await upstream.until(lambda: upstream.received >= MIB)  # before the client has sent all of it
        await client.send(b"x" * MIB)
        assert (await client.reply()).body == b"ok"
    assert upstream.received == size


async def test_a_slow_upload_is_not_a_stalled_one(behind: Node, upstream: Upstream) -> None:
    upstream.answers(ok)
    async with connect(behind) as client:
        await client.send(get("/markdown", "Content-Length: 15", method="POST"))
        for _ in range(15):
            await client.send(b"x")
            await asyncio.sleep(0.1)  # in all more than the deadline, which is for each piece
        assert (await client.reply()).status == 200


async def test_a_large_answer_is_streamed_and_not_kept(behind: Node, upstream: Upstream) -> None:
    size = 9 * MIB

    async def large(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(9):
            writer.write(b" " * MIB)
            await writer.drain()

    upstream.answers(large)
    for host in ("api.github.com", "127.0.0.1"):
        reply = await ask(behind, get("/repos/octo/app", host=host))
        assert len(reply.body) == int(reply.headers["content-length"]) == size
        assert reply.headers["cache-status"] == "p2pcache; fwd=uri-miss; fwd-status=200"


@pytest.mark.parametrize("target", ["/repos/octo/app", "/repos/octo/app/tarball"])
async def test_who_stops_a_download_frees_the_connection_to_github(
    behind: Node, upstream: Upstream, target: str
) -> None:
    async def endless(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()

    upstream.answers(endless)
    async with connect(behind) as client:
        await client.send(get(target))
        await client.reader.readexactly(10 * MIB)
    await upstream.until(lambda: not upstream.open)


async def test_who_stops_an_upload_frees_the_connection_to_github(behind: Node, upstream: Upstream) -> None:
    upstream.answers(ok)
    async with connect(behind) as client:
        await client.send(get("/markdown", "Content-Length: 1000", method="POST") + b"x" * 10)
        await upstream.until(lambda: upstream.received == 10)
    await upstream.until(lambda: not upstream.open)
    assert behind.stats()["errors"] == {}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_github_that_does_not_answer_is_waited_for_no_longer_than_said(
    behind: Node, upstream: Upstream, method: str
) -> None:
    async def silent(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    upstream.answers(silent)
    reply = await ask(behind, get("/repos/octo/app/issues", "Content-Length: 0", method=method))
    assert reply.status == 504
    assert json.loads(reply.body)["message"].startswith("p2pcache: GitHub at 127.0.0.1 cannot be reached (nothing came")
    await upstream.until(lambda: not upstream.open)


async def test_github_that_does_not_read_is_waited_for_no_longer_than_said(behind: Node, upstream: Upstream) -> None:
    upstream.answers(lambda *_: asyncio.sleep(LIMIT))
    async with connect(behind) as client:
        await client.send(get("/markdown", f"Content-Length: {64 * MIB}", method="POST"))
        sending = asyncio.create_task(client.send(b"x" * (64 * MIB)))
        assert (await client.reply()).status == 504
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_github_that_is_not_there_is_told_in_a_sentence(tmp_path: Path, upstream: Upstream) -> None:
    async with running("http://127.0.0.1:1", tmp_path) as node:
        reply = await ask(node, get("/repos/octo/app"))
    assert reply.status == 502
    assert "GitHub at 127.0.0.1 cannot be reached" in json.loads(reply.body)["message"]
    assert "Traceback" not in reply.body.decode()


@pytest.mark.parametrize("target", ["/repos/octo/app", "/zen", "/repos/octo/app/tarball"])
async def test_github_that_talks_garbage_is_told_in_a_sentence(node: Node, github: StandIn, target: str) -> None:
    github.fault(garbage=True, times=None)
    assert (await ask(node, get(target))).status == 502


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", id="no gzip"),
        pytest.param(b"Content-Encoding: br\r\nContent-Length: 5\r\n\r\nhello", id="unasked coding"),
        pytest.param(
            b"Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03", id="half gzip"
        ),
    ],
)
async def test_a_coding_that_is_wrong_is_no_answer(behind: Node, upstream: Upstream, answer: bytes) -> None:
    async def coded(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + answer)

    upstream.answers(coded)
    assert (await ask(behind, get("/repos/octo/app"))).status == 502


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 100\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
)
async def test_an_answer_that_breaks_off_is_seen_to(behind: Node, upstream: Upstream, framing: bytes) -> None:
    async def half(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + framing)
        raise ConnectionResetError

    upstream.answers(half)
    async with connect(behind) as client:
        await client.send(get("/repos/octo/app/tarball"))
        answer = await client.ended()
    assert b"half" in answer
    assert not answer.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_no_write_is_repeated(behind: Node, upstream: Upstream, method: str) -> None:
    async def dies(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise ConnectionResetError

    upstream.answers(dies)
    reply = await ask(behind, get("/repos/octo/app/issues/1/lock", "Content-Length: 0", method=method))
    assert (reply.status, len(upstream.heads)) == (502, 1)


async def test_a_credential_of_this_machine_is_not_lent(
    behind: Node, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login mona password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    upstream.answers(ok)
    await ask(behind, b"GET /zen HTTP/1.1\r\nHost: api.github.com\r\n\r\n")
    assert (await ask(behind, get("/zen"))).status == 200
    assert "authorization" not in upstream.heads[0].lower()


async def test_other_hosts_of_github_are_streamed_over_tls(
    upstream: Upstream, elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(upstream.url, tmp_path) as node:
        await elsewhere.lead(node)
        reply = await ask(node, get("/octo/app/raw/main/x", host="raw.githubusercontent.com"))
        assert (reply.status, reply.body) == (200, b"ok")
        assert elsewhere.heads[-1].startswith("GET /octo/app/raw/main/x HTTP/1.1\r\n")
        assert "host: raw.githubusercontent.com" in elsewhere.heads[-1].lower()

        dropped: list[str] = []

        async def wrote(drops: tuple[str, ...]) -> None:
            dropped.extend(drops)

        monkeypatch.setattr(node.engine, "wrote", wrote)
        asset = "/repos/octo/app/releases/1/assets?name=x"
        reply = await ask(node, get(asset, "Content-Length: 0", host="uploads.github.com", method="POST"))
        assert reply.status == 200
        assert dropped


async def test_what_github_does_not_count_is_not_counted(node: Node, github: StandIn) -> None:
    """Asked as nobody, with a token, and with one that is nobody's."""
    for credential in ("", f"Authorization: token {TOKEN}\r\n", "Authorization: token ghp_nobodys\r\n"):
        for target in ("/rate_limit", "/user"):
            await ask(node, f"GET {target} HTTP/1.1\r\nHost: api.github.com\r\n{credential}\r\n".encode())
    assert [call.status for call in github.calls] == [200, 401, 200, 200, 401, 401]
    assert json.loads((await ask(node, get("/-/stats", host="localhost"))).body)["upstream"]["charged"] == 2
    assert github.charged() == 2
