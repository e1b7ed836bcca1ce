"""A client connection that the supervisor holds too: `GatewayProtocol`, with what it waits for in the journal."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from p2pcache.gateway.protocol import Front, GatewayProtocol
from p2pcache.gateway.survival.journal import Adopted, ConnectionState, Journal

DRAIN_CHECK_SECONDS = 0.005


class HeldConnection(GatewayProtocol):
    """One client connection.

    The journal is written when a request outlives the callback that parsed it. It returns to idle only when the
    answers are in the kernel, so what the transport still has counts as an answer that has begun.
    """

    def __init__(self, journal: Journal, adopted: Adopted, front: Front) -> None:
        super().__init__(front)
        self._journal = journal
        self._adopted = adopted
        self._in_hand = journal.in_hand
        self._slot = adopted.slot
        self._read = adopted.read
        self._idle = adopted.state is ConnectionState.IDLE
        self._checking = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Begin; what a node before had read comes before anything that arrives from now on."""
        super().connection_made(transport)
        if self._adopted.request and self._slot is not None:
            self._journal.replayed(self._slot)
            self._in_hand[0] = self._slot + 1
            hits = self._hits
            super().data_received(self._adopted.request)
            if hits != self._hits:
                self._lose()
            self._settle()
            self._in_hand[0] = 0

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and note what it leaves to be answered later."""
        slot = self._slot
        if slot is None:
            super().data_received(data)
            return
        if not self._idle:
            self._settle()
        self._in_hand[0] = slot + 1
        self._read += len(data)
        hits = self._hits
        super().data_received(data)
        if self._at_rest():
            if not self._idle:
                self._settle()
        elif hits != self._hits:
            self._lose()  # a hit has not drained, or other requests follow it, whose bytes cannot be told from its own
            self.loop.call_soon(self._drained)
        else:
            self._idle = False
            self._journal.asked(slot, data, self._read)
        self._in_hand[0] = 0

    def _at_rest(self) -> bool:
        """Whether no request has begun that is not answered, and all answers are in the kernel."""
        if self._within or self._refused or self.pipeline or self.transport.get_write_buffer_size():
            return False
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _settle(self) -> None:
        """Note that nothing is waited for, if that is so."""
        if not self._idle and self._slot is not None and self._at_rest():
            self._journal.idle(self._slot)
            self._idle = True

    def _lose(self) -> None:
        if self._slot is not None:
            self._idle = False
            self._journal.lose(self._slot)

    def _unsafe(self) -> None:
        if self._slot is not None:
            self._journal.unsafe(self._slot)

    def _extensions(self) -> dict[str, Callable[[], object]]:
        """Extend by what `Exchange` knows and the journal needs: an answer begins, a request must not be sent twice."""
        return {**super()._extensions(), "answering": self._lose, "unsafe": self._unsafe}

    def _refuse(self, status: int, sentence: str) -> None:
        self._lose()
        super()._refuse(status, sentence)

    def on_response_complete(self) -> None:
        """End an answer; the journal is idle once it has drained."""
        super().on_response_complete()
        self.loop.call_soon(self._drained)

    def _drained(self) -> None:
        if self.transport.get_write_buffer_size() and not self.transport.is_closing():
            if not self._checking:
                self._checking = True
                self.loop.call_later(DRAIN_CHECK_SECONDS, self._check)
        else:
            self._settle()

    def _check(self) -> None:
        self._checking = False
        self._drained()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection for the client too: the supervisor's duplicate would keep it open."""
        if self._slot is not None:
            with contextlib.suppress(OSError):
                self._adopted.connection.shutdown(socket.SHUT_RDWR)
            self._journal.let_go(self._slot)
            self._slot = None
        super().connection_lost(exc)
