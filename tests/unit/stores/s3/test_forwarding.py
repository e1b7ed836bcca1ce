"""Requests reach their origin as they were signed; what comes back has a bound, whatever the origin sends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from p2pcache.cache.codec import MAX_BLOCK
from p2pcache.stores.s3 import forwarding
from p2pcache.stores.s3.egress_proxy import egress_proxy
from p2pcache.stores.s3.forwarding import Forwarder
from tests.support.fleet import until
from tests.support.hostile_server import (
    Asked,
    HostileServer,
    Script,
    Sender,
    endless,
    endless_body,
    hostile_server,
    redirect,
    whole,
)
from tests.unit.stores.s3.conftest import Connect, ProxyClient, secured

MOST = 256 << 10
ON_THE_WAY = 24 << 20
"""What this machine's sockets and buffers may hold; a server without a bound sends as much in a moment."""


@asynccontextmanager
async def through(
    script: Script, connect: Connect, seconds: float = 60.0
) -> AsyncIterator[tuple[HostileServer, ProxyClient]]:
    async with (
        hostile_server(script) as server,
        egress_proxy([server.url], forwarder=Forwarder(seconds=seconds, most=MOST)) as proxy,
    ):
        yield server, await connect(proxy.url)


async def echo(asked: Asked, send: Sender) -> None:
    await whole(send, "200 OK", asked.body, 'ETag: "x"', "Connection: keep-alive", "X-Many: 1", "X-Many: 2")


async def test_a_request_arrives_as_it_was_signed(connect: Connect) -> None:
    async with through(echo, connect) as (server, client):
        signed = ("Host: bucket.example:9000", "authorization: AWS4-HMAC-SHA256 x", "x-amz-content-sha256: 0")
        hop = (client.authorization, "Connection: keep-alive", "Proxy-Connection: keep-alive", "Content-Length: 4")
        target = "/b/a%2Fb%20c+d/..%2F?list-type=2&prefix=a%2F"
        await client.send(f"PUT {server.url}{target} HTTP/1.1", *signed, *hop, body=b"body")
        status, headers, body = await client.answer()
        (asked,) = server.asked
        assert asked.line == f"PUT {target} HTTP/1.1", "in origin form"
        assert asked.headers == {
            "host": "bucket.example:9000",
            "authorization": "AWS4-HMAC-SHA256 x",
            "x-amz-content-sha256": "0",
            "content-length": "4",
        }
        assert (status, body, headers["etag"], "connection" in headers) == (200, b"body", '"x"', False)


async def test_a_connection_carries_many_requests_to_one(connect: Connect) -> None:
    async with through(echo, connect) as (server, client):
        for _ in range(5):
            assert (await client.get(f"{server.url}/b"))[0] == 200
        assert len(server.asked) == 5
        assert server.open == 1


async def test_what_has_no_body(connect: Connect) -> None:
    async def answer(asked: Asked, send: Sender) -> None:
        if asked.line.startswith("HEAD"):
            await send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        else:
            await send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with through(answer, connect) as (server, client):
        await client.send(f"HEAD {server.url}/b HTTP/1.1", client.authorization)
        assert b"Content-Length: 1000" in await client.reader.readuntil(b"\r\n\r\n")
        assert await client.get(f"{server.url}/b") == (204, {"content-length": "0"}, b"")


@pytest.mark.parametrize("body", [b"", b"x" * 100, b"y" * MOST])
async def test_a_body_within_the_bound_comes_whole(connect: Connect, body: bytes) -> None:
    async def answer(asked: Asked, send: Sender) -> None:
        if "chunked" in asked.line:
            await send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await send((b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n")
        else:
            await whole(send, "200 OK", body)

    async with through(answer, connect) as (server, client):
        assert (await client.get(f"{server.url}/b"))[2] == body
        assert (await client.get(f"{server.url}/chunked"))[2] == body
        assert server.open == 1


def test_a_block_is_within_the_bound() -> None:
    assert forwarding.MOST_BYTES >= MAX_BLOCK


async def test_an_answer_without_end_is_cut(connect: Connect) -> None:
    async with through(endless_body("200 OK"), connect) as (server, client):
        await client.send(f"GET {server.url}/b HTTP/1.1", client.authorization)
        assert len(await client.ended()) < 2 * MOST
        await until(lambda: not server.open, "the origin's connection has ended")
        assert server.sent < ON_THE_WAY


async def test_an_answer_that_says_how_long_it_is_is_cut_at_the_bound_as_well(connect: Connect) -> None:
    script = endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n", b"A" * 65536)
    async with through(script, connect) as (server, client):
        await client.send(f"GET {server.url}/b HTTP/1.1", client.authorization)
        assert len(await client.ended()) < 2 * MOST
        assert server.sent < ON_THE_WAY


@pytest.mark.parametrize("status", [403, 404, 412, 500, 503, 301])
async def test_of_an_error_the_beginning_is_enough(connect: Connect, status: int) -> None:
    async with through(endless_body(f"{status} X"), connect) as (server, client):
        assert await client.get(f"{server.url}/b") == (
            status,
            {"content-length": str(forwarding.ERROR_BYTES)},
            b"A" * forwarding.ERROR_BYTES,
        )
        await until(lambda: not server.open, "the origin's connection has ended")
        assert server.sent < ON_THE_WAY
        assert (await client.get(f"{server.url}/b"))[0] == status, "the connection goes on"


@pytest.mark.parametrize(
    "script",
    [
        endless(b"HTTP/1.1 200 OK\r\nX-A: ", b"b" * 65536),
        endless(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"b" * 6000 + b"\r\n"),
        endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" * 500),
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
        endless(b"\x16\x03\x01", b"la" * 1000),
        endless(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", b"x" * 65536),
    ],
    ids=["header", "headers", "early hints", "continue", "garbage", "another protocol"],
)
async def test_what_never_becomes_an_answer(connect: Connect, script: Script) -> None:
    async with through(script, connect) as (server, client):
        status, _, body = await client.get(f"{server.url}/b")
        assert (status, body) == (502, b"<Error><Code>OriginBroken</Code></Error>")
        await until(lambda: not server.open, "the origin's connection has ended")
        assert server.sent < ON_THE_WAY


async def test_a_few_interim_answers_are_passed_over(connect: Connect) -> None:
    async def answer(asked: Asked, send: Sender) -> None:
        await send(b"HTTP/1.1 100 Continue\r\n\r\n" * forwarding.INTERIM)
        await whole(send, "200 OK", b"x")

    async with through(answer, connect) as (server, client):
        for _ in range(3):
            assert (await client.get(f"{server.url}/b"))[2] == b"x"
        assert server.open == 1


async def test_a_body_is_no_longer_than_it_says(connect: Connect) -> None:
    """Else what follows would be the answer to the next request."""
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    both = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def answer(asked: Asked, send: Sender) -> None:
        if "both" in asked.line:
            await send(both + b"%x\r\n%s\r\n0\r\n\r\n" % (len(forged) + 1, b"x" + forged))
        else:
            await send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" + forged)

    for path in ("more", "both"):
        async with through(answer, connect) as (server, client):
            first = await client.get(f"{server.url}/{path}")
            assert first[2] in (b"x", b"x" + forged, b"<Error><Code>OriginBroken</Code></Error>")
            second = await client.get(f"{server.url}/{path}")
            assert second[2] == first[2], "an answer of its own"


@pytest.mark.parametrize("status", ["301 X", "302 X", "303 X", "307 X", "308 X"])
async def test_no_redirect_is_followed_or_passed(connect: Connect, status: str) -> None:
    async with (
        hostile_server(echo) as target,
        through(redirect(status, f"{target.url}/stolen"), connect) as (server, client),
    ):
        status_, headers, body = await client.get(f"{server.url}/b", "x-amz-security-token: secret")
        assert (status_, body) == (421, b"<Error><Code>OriginRedirects</Code></Error>")
        assert "location" not in headers
        assert target.asked == []


async def test_a_redirect_to_nowhere_is_an_answer(connect: Connect) -> None:
    async def answer(asked: Asked, send: Sender) -> None:
        await whole(send, "301 Moved", b"<Error><Code>PermanentRedirect</Code></Error>")

    async with through(answer, connect) as (server, client):
        status, _, body = await client.get(f"{server.url}/b")
        assert (status, body) == (301, b"<Error><Code>PermanentRedirect</Code></Error>")


async def test_an_answer_that_drips_has_a_deadline(connect: Connect) -> None:
    async def head(asked: Asked, send: Sender) -> None:
        for character in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000:
            await send(bytes([character]))
            await asyncio.sleep(0.01)

    async def body(asked: Asked, send: Sender) -> None:
        await send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            await send(b"<")
            await asyncio.sleep(0.01)

    async with through(head, connect, seconds=0.3) as (server, client):
        status, _, answered = await client.get(f"{server.url}/b")
        assert (status, answered) == (504, b"<Error><Code>OriginSlow</Code></Error>")
        await until(lambda: not server.open, "the origin's connection has ended")
    async with through(body, connect, seconds=0.3) as (server, client):
        await client.send(f"GET {server.url}/b HTTP/1.1", client.authorization)
        assert (await client.ended()).startswith(b"HTTP/1.1 200 ")
        await until(lambda: not server.open, "the origin's connection has ended")


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["at once", "in the head"])
async def test_an_origin_that_hangs_up(connect: Connect, beginning: bytes) -> None:
    async def answer(asked: Asked, send: Sender) -> None:
        await send(beginning)
        send.writer.close()

    async with through(answer, connect) as (server, client):
        assert (await client.get(f"{server.url}/b"))[::2] == (502, b"<Error><Code>OriginBroken</Code></Error>")


async def test_an_origin_that_is_not_there(connect: Connect) -> None:
    async with hostile_server(echo) as server:
        pass
    async with egress_proxy([server.url, "http://nowhere.invalid"]) as proxy:
        client = await connect(proxy.url)
        for url in (server.url, "http://nowhere.invalid"):
            assert (await client.get(f"{url}/b"))[::2] == (502, b"<Error><Code>OriginUnreachable</Code></Error>")


async def test_the_environments_proxy_is_asked(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hostile_server(echo) as corporate:
        where = corporate.url.removeprefix("http://")
        monkeypatch.setenv("HTTP_PROXY", f"http://mona:lisa@{where}")
        monkeypatch.setenv("HTTPS_PROXY", f"http://mona:lisa@{where}")
        monkeypatch.setenv("NO_PROXY", "direct.invalid")
        names = ("http://store.invalid", "http://direct.invalid")
        async with egress_proxy(names) as proxy:
            client = await connect(proxy.url)
            assert (await client.get("http://store.invalid/b"))[0] == 200
            assert (await client.get("http://direct.invalid/b"))[0] == 502
        (asked,) = corporate.asked
        assert asked.line == "GET http://store.invalid/b HTTP/1.1"
        assert asked.headers["host"] == "store.invalid"
        assert asked.headers["proxy-authorization"] == "Basic bW9uYTpsaXNh", "the corporate one's, not this proxy's"


async def test_the_environments_proxy_carries_https(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, trusted: ssl.SSLContext
) -> None:
    async def tunnel(asked: Asked, send: Sender) -> None:
        reader, writer = await asyncio.open_connection(*urlsplit(server.url).netloc.split(":"))
        await send(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while piece := await source.read(1 << 16):
                sink.write(piece)
            sink.close()

        await asyncio.gather(pump(send.reader, writer), pump(reader, send.writer))

    async with hostile_server(echo, trusted) as server, hostile_server(tunnel) as corporate:
        monkeypatch.setenv("HTTPS_PROXY", corporate.url.replace("http://", "http://mona:lisa@"))
        monkeypatch.setenv("NO_PROXY", "")
        async with egress_proxy([server.url]) as proxy:
            client = await secured(proxy, await connect(proxy.url), server.url)
            await client.send("GET /b HTTP/1.1", "Host: x")
            assert await client.status() == 200
        (asked,) = corporate.asked
        assert asked.line == f"CONNECT {urlsplit(server.url).netloc} HTTP/1.1"
        assert asked.headers["proxy-authorization"] == "Basic bW9uYTpsaXNh"
        assert [asked.line for asked in server.asked] == ["GET /b HTTP/1.1"]
