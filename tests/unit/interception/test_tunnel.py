"""Two connections as one, with real sockets on both loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from p2pcache.interception import certificate, tunnel
from p2pcache.interception.tunnel import Side

MEGABYTE = bytes(1 << 20)


def connected() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname(), 20)
        near, _ = listener.accept()
    for each in (near, far):
        each.setblocking(False)
    return near, far


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket, socket.socket, socket.socket]]:
    """The client, our end to it, our end to the server, the server."""
    ours, client = connected()
    other, server = connected()
    with client, server, ours, other:
        yield client, ours, other, server


Ends = tuple[socket.socket, socket.socket, socket.socket, socket.socket]


async def sent(end: socket.socket, data: bytes) -> None:
    await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(end, data), 30)


async def received(end: socket.socket, count: int = 1 << 16) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(end, count), 30)


async def whole(end: socket.socket) -> bytes:
    pieces = []
    while piece := await received(end):
        pieces.append(piece)
    return b"".join(pieces)


@contextlib.asynccontextmanager
async def joined(ends: Ends) -> AsyncIterator[tuple[Side, Side]]:
    """Join the inner ends; afterwards both are closed."""
    sides = await tunnel.joined(ends[1], ends[2])
    try:
        yield sides
        await asyncio.wait_for(asyncio.gather(*(side.closed for side in sides)), 30)
    finally:
        for side in sides:
            side.abort()
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (ends[1].fileno(), ends[2].fileno()) == (-1, -1), "no descriptor is left open"


async def test_what_comes_in_at_one_side_goes_out_at_the_other(ends: Ends) -> None:
    client, _, _, server = ends
    async with joined(ends) as (near, far):
        for number in range(3):
            await sent(client, b"ping %d" % number)
            assert await received(server) == b"ping %d" % number
            await sent(server, b"pong")
            assert await received(client) == b"pong"
        assert (near.received, far.received) == (18, 12)
        client.close()
        assert await received(server) == b""
        server.close()


@pytest.mark.parametrize("first", [0, 3], ids=["the client", "the server"])
async def test_a_half_close_is_passed_on_and_the_other_way_stays_open(ends: Ends, first: int) -> None:
    ending, going_on = ends[first], ends[3 - first]
    async with joined(ends):
        await sent(ending, b"all of it")
        ending.shutdown(socket.SHUT_WR)
        assert await whole(going_on) == b"all of it"
        await sent(going_on, b"an answer")
        assert await received(ending) == b"an answer"
        going_on.shutdown(socket.SHUT_WR)
        assert await whole(ending) == b""


async def test_both_may_half_close_at_once(ends: Ends) -> None:
    client, _, _, server = ends
    async with joined(ends):
        for end in (client, server):
            await sent(end, b"last words")
            end.shutdown(socket.SHUT_WR)
        assert await whole(client) == await whole(server) == b"last words"


async def test_what_was_sent_before_a_close_arrives(ends: Ends) -> None:
    client, _, _, server = ends
    async with joined(ends):
        sending = asyncio.ensure_future(sent(server, MEGABYTE * 4))
        sending.add_done_callback(lambda _: server.close())
        assert len(await whole(client)) == len(MEGABYTE) * 4
        client.close()


@pytest.mark.parametrize("first", [0, 3], ids=["the client", "the server"])
async def test_who_breaks_off_ends_the_other_at_once(ends: Ends, first: int) -> None:
    ending, other = ends[first], ends[3 - first]
    async with joined(ends):
        await sent(ending, b"x")
        assert await received(other) == b"x"
        ending.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ending.close()
        with contextlib.suppress(ConnectionResetError):
            assert await received(other) == b""


async def test_who_does_not_read_is_not_sent_more_than_a_bound(ends: Ends) -> None:
    client, _, _, server = ends
    async with joined(ends) as (near, _):
        sending = asyncio.ensure_future(sent(client, MEGABYTE * 64))
        before = -1
        while near.received > before:  # until nothing moves any more
            before = near.received
            await asyncio.wait([sending], timeout=0.2)
        assert not sending.done()
        assert near.received < 32 << 20
        sending.add_done_callback(lambda _: client.close())
        assert len(await whole(server)) == 64 << 20
        server.close()


@pytest.mark.parametrize("leaves", ["half-closes", "stays"])
async def test_who_speaks_before_the_other_side_is_there_is_heard(ends: Ends, leaves: str) -> None:
    client, ours, other, server = ends
    near = await tunnel.side_of(ours)
    await sent(client, b"early")
    if leaves == "half-closes":
        client.shutdown(socket.SHUT_WR)
    for _ in range(20):
        await asyncio.sleep(0)  # the loop may read it, or may not
    far = await tunnel.side_of(other)
    near.join(far)
    assert await received(server) == b"early"
    await sent(server, b"answer")
    server.close()
    assert await whole(client) == b"answer"
    client.close()
    await asyncio.wait_for(asyncio.gather(near.closed, far.closed), 30)


async def test_a_side_that_is_lost_before_they_are_joined_ends_the_other(ends: Ends) -> None:
    _, ours, other, server = ends
    near, far = await tunnel.side_of(ours), await tunnel.side_of(other)
    near.abort()
    await asyncio.wait_for(near.closed, 30)
    near.join(far)
    with contextlib.suppress(ConnectionResetError):
        assert await received(server) == b""
    await asyncio.wait_for(far.closed, 30)


async def test_where_they_cannot_be_joined_both_are_closed(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    _, ours, other, server = ends
    made = tunnel.side_of
    sides: list[Side] = []

    async def side_of(connection: socket.socket) -> Side:
        if connection is other:
            raise OSError(24, "Too many open files")
        sides.append(await made(connection))
        return sides[0]

    monkeypatch.setattr(tunnel, "side_of", side_of)
    with pytest.raises(OSError, match="Too many"):
        await tunnel.joined(ours, other)
    await asyncio.wait_for(sides[0].closed, 30)
    assert await received(server) == b""


async def test_a_side_without_a_connection_says_so() -> None:
    side = Side()
    side.abort()
    with pytest.raises(RuntimeError):
        _ = side.transport


class TestWithTls:
    """The client's side of a terminated connection."""

    async def agreed(
        self, ends: Ends, folder: Path, host: str = "api.github.com"
    ) -> tuple[Side, Side, asyncio.StreamReader, asyncio.StreamWriter]:
        client, ours, other, _ = ends
        signed, key = certificate.issue([host], certificate.HOSTED_LIFE)
        (folder / "own.pem").write_bytes(signed)
        context = ssl.create_default_context(cafile=str(folder / "own.pem"))
        opening = asyncio.ensure_future(asyncio.open_connection(sock=client, ssl=context, server_hostname=host))
        near = await tunnel.side_of(ours, certificate.context(signed, key), 20)
        far = await tunnel.side_of(other)
        near.join(far)
        return near, far, *(await opening)

    async def test_it_is_joined_with_one_without_and_a_close_ends_both(self, ends: Ends, tmp_path: Path) -> None:
        near, far, reader, writer = await self.agreed(ends, tmp_path)
        server = ends[3]
        writer.write(b"GET")
        assert await received(server) == b"GET"
        await sent(server, MEGABYTE)
        server.close()
        assert len(await asyncio.wait_for(reader.read(), 30)) == len(MEGABYTE)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        await asyncio.wait_for(asyncio.gather(near.closed, far.closed), 30)

    async def test_a_client_that_leaves_ends_the_other_side(self, ends: Ends, tmp_path: Path) -> None:
        near, far, _, writer = await self.agreed(ends, tmp_path)
        writer.write(b"POST")
        writer.close()
        assert await whole(ends[3]) == b"POST"
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        await asyncio.wait_for(asyncio.gather(near.closed, far.closed), 30)

    async def test_one_that_says_nothing_is_not_waited_for(self, ends: Ends) -> None:
        context = certificate.context(*certificate.issue(["api.github.com"], certificate.HOSTED_LIFE))
        with pytest.raises(OSError):
            await tunnel.side_of(ends[1], context, 0.2)
