"""What a client says first, read while it stays in its socket: another may have to hear it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from typing import TypeVar

from p2pcache.interception.client_hello import NotTlsError

PEEKED = 64 << 10

T = TypeVar("T")


async def peeked(connection: socket.socket, parse: Callable[[bytes], T | None], seconds: float) -> T:
    """Return what `parse` makes of what the client says first, all of which stays in the socket.

    Raises:
        NotTlsError: it broke off, or `parse` does not take it.
        ConnectionError: it left without a byte.
        TimeoutError: it says too little.
    """
    async with asyncio.timeout(seconds):
        wanted = 1
        try:
            while True:
                # Readable only once there is more than was seen: no waiting in a loop (socket(7), SO_RCVLOWAT).
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
                await _readable(connection)
                data = connection.recv(PEEKED, socket.MSG_PEEK)
                if not data:
                    raise ConnectionAbortedError(errno.ECONNABORTED, "the client left without a byte")
                if (found := parse(data)) is not None:
                    return found
                if len(data) < wanted or len(data) == PEEKED:
                    raise NotTlsError("it broke off")
                wanted = len(data) + 1
        finally:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    descriptor = connection.fileno()
    loop.add_reader(descriptor, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
