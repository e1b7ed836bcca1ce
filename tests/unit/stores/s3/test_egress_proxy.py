"""The proxy leads to the origins it was made for, for the client that has its password, and ends with its user."""

from __future__ import annotations

import asyncio
import gc
import ssl
from urllib.parse import urlsplit

import pytest

from p2pcache.cache.codec import MAX_BLOCK
from p2pcache.stores.s3 import egress_proxy as module
from p2pcache.stores.s3.egress_proxy import HEAD_BYTES, egress_proxy
from p2pcache.stores.s3.forwarding import Forwarder
from p2pcache.stores.s3.interception import intercepting
from tests.support.fleet import until
from tests.support.hostile_server import Asked, Sender, hanging, hostile_server, whole
from tests.unit.stores.s3.conftest import Connect, secured


async def fine(asked: Asked, send: Sender) -> None:
    await whole(send, "200 OK", b"fine")


async def test_other_places_see_no_request(connect: Connect) -> None:
    async with hostile_server(fine) as server, hostile_server(fine) as other, egress_proxy([server.url]) as proxy:
        port = urlsplit(server.url).port
        for url in (other.url, f"http://localhost:{port}", f"http://127.0.0.2:{port}", f"https://127.0.0.1:{port}"):
            client = await connect(proxy.url)
            assert (await client.get(f"{url}/b"))[0] == 421
            await client.ended()
        for target in (urlsplit(other.url).netloc, f"127.0.0.1:{port}", "169.254.169.254:80"):
            client = await connect(proxy.url)
            await client.send(f"CONNECT {target} HTTP/1.1", client.authorization)
            assert await client.status() == 421, "the origin is one by http: it has no TLS to end"
            await client.ended()
        assert other.asked == server.asked == []


async def test_each_request_of_a_connection_is_looked_at(connect: Connect) -> None:
    async with hostile_server(fine) as server, hostile_server(fine) as other, egress_proxy([server.url]) as proxy:
        client = await connect(proxy.url)
        assert (await client.get(f"{server.url}/b"))[0] == 200
        assert (await client.get(f"{other.url}/b"))[0] == 421
        await client.ended()
        client = await connect(proxy.url)
        assert (await client.get(f"{server.url}/b"))[0] == 200
        await client.send(f"GET {server.url}/b HTTP/1.1")
        assert await client.status() == 407
        await client.ended()
        assert other.asked == []


async def test_only_who_has_the_password(connect: Connect) -> None:
    wrong = "Proxy-Authorization: Basic cDJwY2FjaGU6eA=="
    async with hostile_server(fine) as server, egress_proxy([server.url]) as proxy, egress_proxy([server.url]) as other:
        foreign = (await connect(other.url)).authorization
        for headers in ((), (wrong,), (foreign,), ("Proxy-Authorization: Bearer x",), ("Proxy-Authorization:",)):
            for line in (f"GET {server.url}/b HTTP/1.1", f"CONNECT {urlsplit(server.url).netloc} HTTP/1.1"):
                client = await connect(proxy.url)
                await client.send(line, *headers)
                assert await client.status() == 407
                await client.ended()
        assert server.asked == []


async def test_a_request_that_comes_before_the_answer_is_not_lost(connect: Connect) -> None:
    """A client may send the next one as soon as it has an answer, which is before the proxy is done with it."""

    async def line(asked: Asked, send: Sender) -> None:
        await whole(send, "200 OK", asked.line.encode())

    async with hostile_server(line) as server, egress_proxy([server.url]) as proxy:
        client = await connect(proxy.url)
        asks = [f"GET {server.url}/{n} HTTP/1.1\r\n{client.authorization}\r\n\r\n".encode() for n in range(20)]
        client.writer.write(b"".join(asks))
        assert [(await client.answer())[2] for _ in asks] == [f"GET /{n} HTTP/1.1".encode() for n in range(20)]


async def test_an_origin_by_https(connect: Connect, trusted: ssl.SSLContext) -> None:
    async with hostile_server(fine, trusted) as server, egress_proxy([server.url]) as proxy:
        client = await secured(proxy, await connect(proxy.url), server.url)
        for _ in range(3):
            await client.send("GET /b?x=%2F HTTP/1.1", "Host: signed.example", "Authorization: AWS4")
            assert (await client.answer())[::2] == (200, b"fine")
        assert [asked.line for asked in server.asked] == ["GET /b?x=%2F HTTP/1.1"] * 3
        assert server.asked[0].headers == {"host": "signed.example", "authorization": "AWS4"}
        assert server.open == 1
        await client.send("GET @elsewhere.example/ HTTP/1.1", "Host: x")
        assert await client.status() == 400
        assert await client.ended() == b""


async def test_an_origin_whose_certificate_is_not_trusted_sees_no_request(connect: Connect) -> None:
    own, _ = intercepting(["127.0.0.1"])
    async with hostile_server(fine, own) as server, egress_proxy([server.url]) as proxy:
        client = await secured(proxy, await connect(proxy.url), server.url)
        await client.send("GET /b HTTP/1.1", "Host: x")
        assert (await client.answer())[::2] == (421, b"<Error><Code>OriginUntrusted</Code></Error>")
        assert server.asked == []


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("GET",), 400),
        (("GET  HTTP/1.1 x y",), 400),
        (("GET http://[::1 HTTP/1.1",), 421),
        (("GET /b HTTP/1.1",), 421),
        (("GET http:///b HTTP/1.1",), 421),
        (("GET {url} HTTP/1.1", "no header"), 400),
        (("GET {url} HTTP/1.1", "X: \xe9"), 400),
        (("PUT {url} HTTP/1.1", "Transfer-Encoding: chunked"), 411),
        (("PUT {url} HTTP/1.1", "Content-Length: -1"), 411),
        (("PUT {url} HTTP/1.1", "Content-Length: many"), 411),
        (("PUT {url} HTTP/1.1", f"Content-Length: {MAX_BLOCK + 1}"), 413),
    ],
)
async def test_what_no_client_library_sends(connect: Connect, lines: tuple[str, ...], status: int) -> None:
    async with hostile_server(fine) as server, egress_proxy([server.url]) as proxy:
        client = await connect(proxy.url)
        line, *headers = (line.replace("{url}", server.url + "/b") for line in lines)
        await client.send(line, client.authorization, *headers)
        assert await client.status() == status
        assert await client.ended() == b""
        assert server.asked == []


async def test_a_head_without_end(connect: Connect) -> None:
    async with hostile_server(fine) as server, egress_proxy([server.url]) as proxy:
        client = await connect(proxy.url)
        await client.send(f"GET {server.url}/b HTTP/1.1", "X: " + "y" * 2 * HEAD_BYTES)
        assert await client.ended() == b""
        assert server.asked == []


async def test_a_silent_client_is_not_waited_for(connect: Connect) -> None:
    async with hostile_server(fine) as server, egress_proxy([server.url], idle=0.05) as proxy:
        client = await connect(proxy.url)
        assert await client.ended() == b""
        client = await connect(proxy.url)
        await client.send(f"PUT {server.url}/b HTTP/1.1", client.authorization, "Content-Length: 9", body=b"x")
        assert await client.ended() == b""
        assert server.asked == []


async def test_connections_have_a_bound(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS", 3)
    async with hostile_server(fine) as server, egress_proxy([server.url]) as proxy:
        clients = [await connect(proxy.url) for _ in range(3)]
        for client in clients:
            assert (await client.get(f"{server.url}/b"))[0] == 200
        assert await (await connect(proxy.url)).ended() == b""
        clients[0].writer.transport.abort()

        async def admitted() -> bool:
            client = await connect(proxy.url)
            try:
                return (await client.get(f"{server.url}/b"))[0] == 200
            except (OSError, EOFError):
                return False

        await until(admitted, "a place is free again")


async def test_many_connections_at_once(connect: Connect) -> None:
    async with hostile_server(fine) as server, egress_proxy([server.url]) as proxy:

        async def ask() -> bytes:
            return (await (await connect(proxy.url)).get(f"{server.url}/b"))[2]

        assert await asyncio.gather(*(ask() for _ in range(100))) == [b"fine"] * 100
        assert server.open <= 32


async def test_a_client_that_goes_away_ends_its_request(connect: Connect) -> None:
    async with hostile_server(hanging) as server, egress_proxy([server.url], forwarder=Forwarder(seconds=600)) as proxy:
        client = await connect(proxy.url)
        await client.send(f"GET {server.url}/b HTTP/1.1", client.authorization)
        await until(lambda: server.asked, "asked")
        client.writer.transport.abort()
        await until(lambda: not server.open, "the origin's connection has ended")


async def test_it_leaves_nothing_behind(connect: Connect, trusted: ssl.SSLContext) -> None:
    before = asyncio.all_tasks()
    async with hostile_server(hanging) as plain, hostile_server(hanging, trusted) as secure:
        async with egress_proxy([plain.url, secure.url], forwarder=Forwarder(seconds=600)) as proxy:
            idle, busy = await connect(proxy.url), await connect(proxy.url)
            tunnel = await secured(proxy, await connect(proxy.url), secure.url)
            await busy.send(f"GET {plain.url}/b HTTP/1.1", busy.authorization)
            await tunnel.send("GET /b HTTP/1.1", "Host: x")
            await until(lambda: plain.asked and secure.asked, "both asked")
        for client in (idle, busy, tunnel):
            assert await client.ended() == b""
        await until(lambda: not plain.open and not secure.open, "the origins' connections have ended")
        parts = urlsplit(proxy.url)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(parts.hostname, parts.port)
    await until(lambda: asyncio.all_tasks() <= before, "no task is left")
    gc.collect()  # a socket that is left would warn


async def test_only_this_machine_reaches_it() -> None:
    async with egress_proxy(["https://store.example"]) as proxy:
        assert urlsplit(proxy.url).hostname == "127.0.0.1"
        assert len(urlsplit(proxy.url).password or "") >= 32


async def test_what_is_no_url_leads_nowhere() -> None:
    async with egress_proxy(["nonsense", "http://[", "https://"]) as proxy:
        assert proxy.certificate
