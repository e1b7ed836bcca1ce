"""What was read is still there to be read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from p2pcache.interception.client_hello import NotTlsError
from p2pcache.interception.peeking import PEEKED, peeked


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client, and our end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), 20)
        accepted, _ = listener.accept()
    with client, accepted:
        for each in (client, accepted):
            each.setblocking(False)
        yield client, accepted


def line(data: bytes) -> bytes | None:
    if data.startswith(b"!"):
        raise NotTlsError("no line begins so")
    head, end, _ = data.partition(b"\n")
    return head if end else None


Ends = tuple[socket.socket, socket.socket]


async def test_it_is_read_as_it_arrives_and_stays(ends: Ends) -> None:
    client, ours = ends
    reading = asyncio.ensure_future(peeked(ours, line, 30))
    for piece in (b"a", b"b", b"c\nmore"):
        assert not reading.done()
        await asyncio.get_running_loop().sock_sendall(client, piece)
        await asyncio.sleep(0.01)
    assert await reading == b"abc"
    assert ours.recv(100) == b"abc\nmore"
    client.send(b"x")
    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 10), 30) == b"x", "a byte wakes it again"


async def test_between_two_pieces_it_does_not_ask_again_and_again(ends: Ends) -> None:
    client, ours = ends
    asked = 0

    def count(data: bytes) -> bytes | None:
        nonlocal asked
        asked += 1
        return line(data)

    client.send(b"half")
    with pytest.raises(TimeoutError):
        await peeked(ours, count, 0.1)
    assert asked == 1


@pytest.mark.parametrize(
    ("said", "error"),
    [(b"", ConnectionError), (b"half", NotTlsError), (b"!", NotTlsError), (b"x" * (PEEKED + 1), NotTlsError)],
    ids=["nothing", "half", "refused", "without an end"],
)
async def test_what_is_not_to_be_had_is_an_error(ends: Ends, said: bytes, error: type[Exception]) -> None:
    client, ours = ends
    sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(client, said))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(sending), 0.2)
    if sending.done():
        client.shutdown(socket.SHUT_WR)
    with pytest.raises(error):
        await peeked(ours, line, 30)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
