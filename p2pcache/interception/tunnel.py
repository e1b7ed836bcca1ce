"""Two connections as one: what comes in at one side goes out at the other, with back-pressure and half-closes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from typing import cast

KEEP_ALIVE_SECONDS = 60
"""Between probes of an idle connection: clouds forget one that says nothing for four minutes."""


class Side(asyncio.Protocol):
    """One side of a pair. It reads nothing before it is joined to the other.

    Attributes:
        received: bytes that came in here.
        moved_at: when that was last, by `time.monotonic`.
        made: the connection, None before it is made.
        ended: the other end will say no more.
        early: what came in before this side was joined.
        closed: done when this side is; its result is the error that ended it, or None.
    """

    def __init__(self) -> None:
        self.received = 0
        self.moved_at = time.monotonic()
        self.closed: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.made: asyncio.Transport | None = None
        self.ended = False
        self._other: Side | None = None
        self.early: list[bytes] = []  # uvloop may read before it heeds `pause_reading`

    @property
    def transport(self) -> asyncio.Transport:
        """The connection, once it is made.

        Raises:
            RuntimeError: it is not made.
        """
        if self.made is None:
            raise RuntimeError("there is no connection yet")
        return self.made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the other side."""
        self.made = cast("asyncio.Transport", transport)
        self.made.pause_reading()

    def join(self, other: Side) -> None:
        """Begin to pass on, both ways; a side that has ended before ends the other."""
        self._other, other._other = other, self
        sides = (self, other)
        for side in sides:
            if not (side.ended or side.transport.is_closing()):
                side.transport.resume_reading()
        for side, there in (sides, sides[::-1]):
            if not there.transport.is_closing():
                there.transport.writelines(side.early)  # may pause the reading again
            side.early.clear()
        for side in sides:
            if side.closed.done():
                side.connection_lost(side.closed.result())
            elif side.ended and not side.eof_received():
                side.transport.close()

    def abort(self) -> None:
        """Break the connection off, and with it the other side's."""
        if self.made is not None:
            self.made.abort()

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        self.received += len(data)
        self.moved_at = time.monotonic()
        if self._other is None:
            self.early.append(data)
        elif not self._other.transport.is_closing():
            self._other.transport.write(data)

    def eof_received(self) -> bool:
        """Pass a half-close on; once both sides have said all, nothing else would end the pair."""
        self.ended = True
        other = self._other
        if other is None:
            return self.transport.can_write_eof()  # it is passed on once there is another side
        if other.ended or not other.transport.can_write_eof():
            return False  # this side closes, and `connection_lost` closes the other
        with contextlib.suppress(OSError, RuntimeError):
            other.transport.write_eof()
        return self.transport.can_write_eof()  # TLS has no half-closes

    def pause_writing(self) -> None:
        """Let the other side wait: here is no room."""
        if self._other is not None and not self._other.transport.is_closing():
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Let it go on."""
        if self._other is not None and not self._other.transport.is_closing():
            self._other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other side: after what it is still to be sent, or at once where this one broke off."""
        if self._other is not None and self._other.made is not None:
            if exc is None:
                self._other.made.close()
            else:
                self._other.made.abort()
        if not self.closed.done():
            self.closed.set_result(exc)


async def joined(client: socket.socket, server: socket.socket) -> tuple[Side, Side]:
    """Join two connected sockets, which belong to the pair from then on."""
    near = far = None
    try:
        near = await side_of(client)
        far = await side_of(server)
        near.join(far)
    except BaseException:
        for side, connection in ((near, client), (far, server)):
            if side is None:
                connection.close()
            else:
                side.abort()
        raise
    return near, far


async def side_of(
    connection: socket.socket, context: ssl.SSLContext | None = None, seconds: float | None = None
) -> Side:
    """Return a connected socket as a side, after TLS has been agreed on where there is a context for it.

    Raises:
        OSError: TLS was not agreed on, in so many seconds.
    """
    side = Side()  # uvloop returns another protocol than this one, where there is TLS
    await asyncio.get_running_loop().connect_accepted_socket(
        lambda: side, connection, ssl=context, ssl_handshake_timeout=seconds
    )
    return side


def keep_alive(connection: socket.socket) -> None:
    """Have the system probe an idle connection to another machine, and send small pieces at once."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), KEEP_ALIVE_SECONDS)
