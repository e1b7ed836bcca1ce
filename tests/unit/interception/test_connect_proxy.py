"""The proxy for one step's clients: tunnels for its own user, the look for the API, and nothing for others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from p2pcache.interception import connect_head
from p2pcache.interception.accepting import accept
from p2pcache.interception.connect_proxy import ConnectProxy
from p2pcache.interception.interceptor import Dial
from p2pcache.interception.tunnel import joined


class Looked:
    """In place of the interceptor: what was given to it."""

    def __init__(self) -> None:
        self.hosts: list[str] = []

    async def serve(self, connection: socket.socket, host: str, dial: Dial) -> None:
        self.hosts.append(host)
        await asyncio.get_running_loop().sock_sendall(connection, b"looked at")
        connection.close()

    async def tunnel(self, connection: socket.socket, server: socket.socket) -> None:
        near, far = await joined(connection, server)
        await asyncio.wait([near.closed, far.closed])


Ask = Callable[[bytes], Awaitable[bytes]]


async def dial() -> socket.socket:
    raise OSError(113, "No route to host")


@contextlib.asynccontextmanager
async def proxy(user: int = os.geteuid(), seconds: float = 30) -> AsyncIterator[tuple[Ask, Looked]]:
    """Give a function that sends bytes to it, and returns all that comes back."""
    looked: Any = Looked()
    served = ConnectProxy(looked, {"api.github.com": dial}, user, seconds)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.ensure_future(accept(listener, served.serve, asyncio.Semaphore(10)))

        async def ask(sent: bytes) -> bytes:
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(sent)
            answer = await asyncio.wait_for(reader.read(), 30)
            writer.close()
            return answer

        try:
            yield ask, looked
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(0.01)


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that sends back what it gets, and ends with its client."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(1 << 16))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


async def test_a_tunnel_is_opened_to_where_it_is_asked_for(echo: int) -> None:
    async with proxy() as (ask, looked):
        head = b"CONNECT 127.0.0.1:%d HTTP/1.0\r\n\r\n" % echo
        assert await ask(head + b"\x16\x03hello") == connect_head.ESTABLISHED + b"\x16\x03hello"
        assert looked.hosts == []


async def test_the_apis_host_goes_through_the_look() -> None:
    async with proxy() as (ask, looked):
        for name in (b"api.github.com", b"API.GITHUB.COM"):
            assert await ask(b"CONNECT %s:443 HTTP/1.1\r\n\r\n" % name) == connect_head.ESTABLISHED + b"looked at"
        assert looked.hosts == ["api.github.com"] * 2


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET http://api.github.com/ HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"CONNECT api.github.com HTTP/1.1\r\n\r\n", 405),
        (b"CONNECT evil@api.github.com:443 HTTP/1.1\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000, 405),
        (b"x" * (connect_head.MOST + 1), 400),
        (b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n", 502),
        (b"CONNECT %s:443 HTTP/1.1\r\n\r\n" % (b"x" * 64), 502),
    ],
    ids=["GET", "no port", "a user", "a body", "too long", "nobody there", "no host"],
)
async def test_what_is_not_served_is_answered(sent: bytes, status: int) -> None:
    async with proxy() as (ask, _):
        assert (await ask(sent)).startswith(b"HTTP/1.1 %d " % status)


async def test_another_user_is_refused_whatever_is_asked_for(echo: int) -> None:
    async with proxy(user=os.geteuid() + 1) as (ask, looked):
        for target in (b"api.github.com:443", b"127.0.0.1:%d" % echo):
            assert (await ask(b"CONNECT %s HTTP/1.1\r\n\r\n" % target)).startswith(b"HTTP/1.1 403 ")
        assert looked.hosts == []


async def test_one_that_says_too_little_is_not_waited_for() -> None:
    async with proxy(seconds=0.1) as (ask, _):
        assert (await ask(b"CONNECT api.github")).startswith(b"HTTP/1.1 400 ")
