"""Connections to other machines, which here are addresses of the loopback: some answer, some do not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from p2pcache.interception.connect_head import TunnelTarget
from p2pcache.interception.dialling import DialError, direct, through_proxy
from p2pcache.proxies import Proxies

TARGET = TunnelTarget("target.invalid", 443)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@contextlib.contextmanager
def silent(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Give the port of an address that takes no connection: its queue is full."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(3):
            client = opened.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def test_the_first_address_that_answers_is_taken(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    for addresses in (["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["::1", "127.0.0.1"]):
        with await direct(addresses, port, 20) as connected:
            assert connected.getpeername() == ("127.0.0.1", port)
            assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not connected.getblocking()


async def test_one_that_is_silent_does_not_hold_the_next_up(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with silent("127.0.0.2", port), await direct(["127.0.0.2", "127.0.0.1"], port, 20) as connected:
        assert connected.getpeername() == ("127.0.0.1", port)


async def test_where_none_answers_that_is_said() -> None:
    with silent() as port, pytest.raises(DialError, match="does not answer"):
        await direct(["127.0.0.1"], port, 0.2)
    with pytest.raises(DialError, match="no name server"):
        await direct([], 443)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DialError, match=r"(?i)refused|connect"):
        await direct(["127.0.0.1", "127.0.0.2"], port, 20)


@contextlib.asynccontextmanager
async def proxy(answer: bytes | None, monkeypatch: pytest.MonkeyPatch, user: str = "") -> AsyncIterator[list[bytes]]:
    """Give the heads that a proxy gets, which this job has; it answers, or is silent, or leaves."""
    heads: list[bytes] = []
    served: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.Event())
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            if answer is not None:
                writer.write(answer)
                await writer.drain()
                if answer:
                    await reader.read()
            else:
                await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        served[-1].set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    for name in ("HTTPS_PROXY", "https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{user}127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield heads
    finally:
        server.close()
        await server.wait_closed()
        for each in served:
            await each.wait()


async def test_a_proxy_is_asked_with_its_password_and_the_tunnels_bytes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\nfirst bytes"
    async with proxy(answer, monkeypatch, "user:secret@") as heads:
        with await through_proxy(TARGET, Proxies(), 20) as connected:
            received = await asyncio.get_running_loop().sock_recv(connected, 100)
    assert received == b"first bytes"
    (head,) = heads
    assert head.startswith(b"CONNECT target.invalid:443 HTTP/1.1\r\nHost: target.invalid:443\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n" in head


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(
            b"HTTP/1.1 407 Say\x1b[31m please\r\n\r\n", r"refused: HTTP/1.1 407 Say\[31m please", id="refuses"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"x" * (17 << 10), "broke off", id="a head without an end"),
        pytest.param(b"", "broke off", id="leaves"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", "does not answer", id="stops in the middle"),
        pytest.param(None, "does not answer", id="hangs"),
    ],
)
async def test_a_proxy_that_opens_nothing(answer: bytes | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 0.3 if said == "does not answer" else 20
    async with proxy(answer, monkeypatch, "user:secret@"):
        with pytest.raises(DialError, match=said) as caught:
            await through_proxy(TARGET, Proxies(), seconds)
    assert "secret" not in str(caught.value)


async def test_without_a_proxy_the_target_is_dialled(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    port = listener.getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        with await through_proxy(TunnelTarget(host, port), Proxies(), 20) as connected:
            assert connected.getpeername()[1] == port


async def test_a_host_that_is_none_and_a_proxy_that_is_not_chained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(DialError, match="x" * 64):
        await through_proxy(TunnelTarget("x" * 64, 443), Proxies(), 20)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTPS_PROXY", "https://proxy.invalid:3129")
    with pytest.raises(DialError, match="not chained"):
        await through_proxy(TARGET, Proxies(), 20)
