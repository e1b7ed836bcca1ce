"""uvicorn's HTTP/1.1 protocol with a short cut for memory hits, and with bounds on what a client may send first.

Measured on one core with a 4 KB body at one connection and at sixteen (bench/gateway_hit.py): through ASGI each answer
costs a task and two message dictionaries, about half of nginx's throughput; written from the parser's callback it is
level with nginx. Everything that is not a memory hit is left to uvicorn and the ASGI application.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from p2pcache.gateway.hot import Hot
from p2pcache.gateway.keeper import Keeper
from p2pcache.gateway.wire import Wire

MAX_HEAD = 64 << 10
"""Bytes of request line and header block; GitHub's own limit is lower."""
HEAD_SECONDS = 20.0
"""How long a request's head may take to arrive."""


class GatewayProtocol(HttpToolsProtocol):
    """One client connection."""

    hot: Hot
    keeper: Keeper | None = None
    slot: int | None = None
    """The place in the journal of a connection taken over from a node that died."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head = 0
        self._in_head = True
        self._answered = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._wire: Wire | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """A client connected, or is taken over."""
        if self.keeper is not None:
            self._wire = Wire(transport, self.keeper, self.slot)
            transport = self._wire  # type: ignore[assignment]  # it hands on what it does not do itself
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that grows beyond its bound or never ends is refused."""
        if self._wire is not None:
            self._wire.received(data)
        if self._in_head:
            self._head += len(data)
        super().data_received(data)
        if not self._in_head:
            return
        if self._head > MAX_HEAD:
            self._refuse(431, f"The request line and headers are larger than {MAX_HEAD} bytes.")
        elif self._head and self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_late)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Answer at once what stands ready; hand everything else on."""
        self._in_head = False
        self._head = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self.transport.is_closing():
            self._answered = True
            return
        cycle = self.cycle
        if (cycle is None or cycle.response_complete) and not self.pipeline and self._answer_hot():
            return
        if not self.url.startswith(b"/") and not (self.url == b"*" and self.parser.get_method() == b"OPTIONS"):
            self._answered = True
            self._refuse(400, "The request target must be a path; send the host in the Host header.")
            return
        if self._wire is not None:
            self.scope["unsafe"] = self._wire.unsafe  # type: ignore[typeddict-unknown-key]  # for `exchange`
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer is complete."""
        if self._wire is not None:
            self._wire.answered()
        super().on_response_complete()

    def _answer_hot(self) -> bool:
        parser = self.parser
        if parser.get_method() != b"GET" or not parser.should_keep_alive() or self.flow.write_paused:
            return False
        answer = self.hot.answer(self.url, self.headers)
        if answer is None:
            return False
        self.transport.writelines(answer)
        self._answered = True
        self.server_state.total_requests += 1
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        return True

    def on_body(self, body: bytes) -> None:
        """A piece of a request's body."""
        if not self._answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole; the next one begins with a head."""
        self._in_head = True
        if self._answered:
            self._answered = False
            return
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went away."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)
        if self._wire is not None:
            self._wire.lost()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP/1.1 gets a sentence and the end of the connection."""
        self._refuse(400, f"{msg} This is an HTTP/1.1 gateway to GitHub's API.")

    def _head_late(self) -> None:
        if self._in_head and self._head:
            self._refuse(408, f"The request's headers did not arrive within {HEAD_SECONDS:.0f} seconds.")

    def _refuse(self, status: int, sentence: str) -> None:
        if self.transport.is_closing():
            return
        phrase = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}[status]
        body = f'{{"message":"p2pcache: {sentence}"}}'.encode()
        self.transport.write(
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"cache-status: p2pcache; fwd=bypass; detail=refused\r\nconnection: close\r\n\r\n".encode()
            + body
        )
        self.transport.close()
