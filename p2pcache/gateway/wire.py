"""A connection's writing side, in step with the journal of `keeper`: what is marked as answered is in the kernel.

uvloop queues what a transport is given until the end of its iteration, so a transport's word that something was
written says nothing about a node killed in between. Here an answer goes out by one system call; what the socket does
not take at once goes through the transport, and the journal waits for that to drain.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Any

from p2pcache.gateway.keeper import ConnectionState, Keeper

DRAIN_LOOK_SECONDS = 0.005
_CONTINUE = b"HTTP/1.1 100 "


class Wire:
    """Stands in for the transport where uvicorn writes; everything else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, keeper: Keeper, slot: int, duplicate: socket.socket) -> None:
        self._transport = transport
        self._keeper = keeper
        self._socket = duplicate
        self._descriptor = duplicate.fileno()
        # Asked for every request: bound here, they need not come by way of `__getattr__`.
        self.is_closing = transport.is_closing
        self.get_write_buffer_size = transport.get_write_buffer_size
        self._loop = asyncio.get_running_loop()
        self._slot: int | None = slot
        self._sent = keeper.written(slot)
        self._head: bytes | None = None
        self._begun = False  # an answer has begun to go out
        self._ended = False  # an answer was completed since the journal was idle
        self._asked = 0  # requests that have begun and are not answered
        self._feeding = False
        self._looking = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    # What comes in

    def received(self, data: bytes) -> None:
        """Note bytes of a request before they are looked at; `fed` follows when they were."""
        if self._ended:
            self._rest()
        self._feeding = True
        if self._slot is not None:
            self._keeper.received(self._slot, data)

    def replayed(self) -> None:
        """The bytes in the journal are looked at again; `fed` follows when they were."""
        self._feeding = True
        if self._slot is not None:
            self._keeper.replayed(self._slot)

    def fed(self) -> None:
        """All that was received has been looked at."""
        self._feeding = False
        if self._ended:
            self._rest()

    def begun(self) -> None:
        """A request has begun to arrive. While an earlier one has no answer, the journal cannot tell them apart."""
        self._asked += 1

    def unsafe(self) -> None:
        """From here on the request that is answered must not be made again: GitHub may have it."""
        if self._slot is not None:
            self._keeper.unsafe(self._slot)

    # What goes out

    def write(self, data: bytes) -> None:
        """Send; the head of an answer waits for what follows it in the same step, so that both go out at once."""
        if data.startswith(_CONTINUE):  # no answer yet: a next node may say it again
            self._send(data)
            if self._slot is not None and not self._ended:
                self._keeper.sent(self._slot, self._sent)
        elif not self._begun:
            self._begun = True
            self._head = data
            self._loop.call_soon(self._flush)
        elif self._head is not None:
            head, self._head = self._head, None
            self._out(head, data)
        else:
            self._out(data)

    def writelines(self, parts: tuple[bytes, bytes]) -> None:
        """Send a whole answer: of a memory hit, so nearly always with nothing before it and in one system call."""
        if self._ended or self._begun or self._slot is None:
            self._out(*parts)
        else:
            self._keeper.mark(self._slot, ConnectionState.ANSWERING)
            self._send(*parts)
        self.answered()

    def answered(self) -> None:
        """The answer is complete; the next request may be noted when it has drained."""
        if self._head is not None:
            self._flush()
        self._begun = False
        self._ended = True
        self._asked -= 1
        if not self._feeding:
            self._rest()

    def write_eof(self) -> None:
        """End this side when what is held is sent; the connection is never idle again."""
        self._flush()
        self._asked += 1
        if self._slot is not None:
            self._keeper.mark(self._slot, ConnectionState.LOST)
        self._transport.write_eof()

    def close(self) -> None:
        """Close when what is held is sent."""
        self._flush()
        self._transport.close()

    def lost(self) -> None:
        """The connection is over: end it for the client too, whoever else holds it, and let go of it."""
        self._head = None
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._slot is not None:
            self._keeper.let_go(self._slot)
            self._slot = None

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._out(head)

    def _out(self, *parts: bytes) -> None:
        if self._slot is not None:
            # Behind an earlier answer that may not have left this process, nothing can be said of this one.
            self._keeper.mark(self._slot, ConnectionState.LOST if self._ended else ConnectionState.ANSWERING)
        self._send(*parts)

    def _send(self, *parts: bytes) -> None:
        size = 0
        for part in parts:
            size += len(part)
        self._sent += size
        sent = 0
        if not self.is_closing() and not self.get_write_buffer_size():
            try:
                sent = os.writev(self._descriptor, parts)
            except OSError:
                sent = 0  # full: the transport waits for room; gone: it finds out
            if sent == size:
                return
        for part in parts:
            if sent >= len(part):
                sent -= len(part)
            else:
                self._transport.write(part[sent:] if sent else part)
                sent = 0

    def _rest(self) -> None:
        """Note that nothing is waited for, if that is so."""
        if not self._ended or self._asked or self._feeding or self._slot is None or self.is_closing():
            return
        if not self.get_write_buffer_size():
            self._ended = False
            self._keeper.idle(self._slot, self._sent)
        elif not self._looking:
            self._looking = True
            self._loop.call_later(DRAIN_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._looking = False
        self._rest()
