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

from p2pcache.gateway.keeper import Keeper, State

DRAIN_LOOK_SECONDS = 0.005


class Wire:
    """Stands in for the transport where uvicorn writes; everything else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, keeper: Keeper, slot: int | None) -> None:
        self._transport = transport
        self._keeper = keeper
        self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        self._loop = asyncio.get_running_loop()
        self._slot = keeper.hold(self._socket.fileno()) if slot is None else slot
        self._held: bytes | None = None
        self._begun = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def received(self, data: bytes) -> None:
        """Note bytes of a request before they are looked at."""
        if self._slot is not None:
            self._keeper.received(self._slot, data)

    def unsafe(self) -> None:
        """From here on the request must not be made again: GitHub may have it."""
        if self._slot is not None:
            self._keeper.mark(self._slot, State.WRITING)

    def write(self, data: bytes) -> None:
        """Send; the head of an answer waits for what follows it in the same step, so that both go out at once."""
        if not self._begun:
            self._begun = True
            self._held = data
            self._loop.call_soon(self._flush)
        elif self._held is not None:
            head, self._held = self._held, None
            self._out(head, data)
        else:
            self._out(data)

    def writelines(self, parts: tuple[bytes, bytes]) -> None:
        """Send a whole answer."""
        self._out(*parts)
        self.answered()

    def answered(self) -> None:
        """The answer is complete; the next request may be noted when it has drained."""
        self._flush()
        self._begun = False
        self._rest()

    def close(self) -> None:
        """Close when what is held is sent."""
        self._flush()
        self._transport.close()

    def lost(self) -> None:
        """The connection is over: end it for the client too, whoever else holds it, and let go of it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._slot is not None:
            self._keeper.let_go(self._slot)
            self._slot = None

    def _flush(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._out(held)

    def _out(self, *parts: bytes) -> None:
        if self._slot is not None:
            self._keeper.mark(self._slot, State.ANSWERING)
        sent = 0
        if not self._transport.is_closing() and not self._transport.get_write_buffer_size():
            with contextlib.suppress(OSError):  # full: the transport waits for room; gone: it finds out
                sent = os.writev(self._socket.fileno(), parts)
        for part in parts:
            if sent >= len(part):
                sent -= len(part)
            else:
                self._transport.write(part[sent:] if sent else part)
                sent = 0

    def _rest(self) -> None:
        if self._slot is None or self._begun:
            return
        if self._transport.get_write_buffer_size():
            self._loop.call_later(DRAIN_LOOK_SECONDS, self._rest)
        else:
            self._keeper.idle(self._slot)
