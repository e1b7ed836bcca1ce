"""uvicorn's HTTP/1.1 protocol with a fast path for memory hits, and with bounds on what a client may do.

Through ASGI each answer costs a task and two message dictionaries; a memory hit is written from the parser's callback
instead (figures: bench/README.md). Everything else goes to uvicorn and the ASGI application. llhttp, below
httptools, refuses what smugglers use: folded lines, repeated or conflicting lengths, bare line feeds, NUL.

A request to change the protocol (``Upgrade``: ``curl --http2``, WebSocket) is answered as the plain request that it
also is (RFC 9110 section 7.8). llhttp would end such a message with its head and leave the rest to the new protocol;
so the head is fed again to a new parser, without that field.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from p2pcache.gateway.bounds import DEFAULT_BOUNDS, ClientBounds
from p2pcache.gateway.callers import own_user, users_process
from p2pcache.gateway.fast_path import FastPath
from p2pcache.gateway.head import last_answer
from p2pcache.gateway.listen import here
from p2pcache.interception.peer_name import program_of
from p2pcache.ledger.ledger import RouteCount

MAX_HEAD = 64 << 10
"""Bytes of request line and header block; GitHub's own limit is lower."""
NO_DESCRIPTOR = -1
"""Of a connection that TLS encrypts: its socket is not to be written to."""
PIPELINED = 64
"""Requests on one connection that may wait for the answer to an earlier one."""
MAX_OVERHEAD = 64 << 10
"""Bytes within a body that bring none of it: chunk extensions and trailer fields."""
LINGERING = 64
"""Refused clients that may linger; more are cut off with their refusal, so that a flood holds nothing."""

_READS = (b"GET", b"HEAD")
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)([^#]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Front:
    """What all connections share.

    Attributes:
        server: uvicorn's; its configuration holds the application.
        hot: answers that stand ready.
        bounds: what a client may take.
        local: those answers are for this machine alone; all else is the application's to refuse.
    """

    server: uvicorn.Server
    hot: FastPath
    bounds: ClientBounds = DEFAULT_BOUNDS
    local: bool = False


class GatewayProtocol(HttpToolsProtocol):
    """One client connection."""

    def __init__(self, front: Front) -> None:
        super().__init__(front.server.config, front.server.server_state, {})
        self._front = front
        self._bounds = front.bounds
        self._head = 0
        self._overhead = 0
        self._in_head = True
        self._within = False  # a request has begun to arrive, and is not whole
        self._hits = 0
        self._upgrading = False
        self._answered = False
        self._refused = False
        self._hot = True
        self._program: RouteCount | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; the client has to send a request's head in time."""
        super().connection_made(transport)
        encrypted = transport.get_extra_info("sslcontext") is not None
        self._descriptor = NO_DESCRIPTOR if encrypted else transport.get_extra_info("socket").fileno()
        self._hot = not self._front.local or here(self.client)
        kind = "" if encrypted else program_of(transport.get_extra_info("socket"))
        self._program = self._front.hot.program(kind) if kind else None
        self._head_timer = self.loop.call_later(self._bounds.head_seconds, self._head_late)
        most = self._bounds.connections
        if len(self.connections) > most:
            self._refuse(503, f"There are {most} connections already; try again.")
            if len(self.connections) > most + LINGERING:
                self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what waits for the client."""
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Limit how long the client may leave what it was sent unread."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self._bounds.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Lift that limit: the client reads."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that grows beyond its bound or never ends is refused."""
        if self._refused:
            return
        if self._in_head:
            self._head += len(data)
        else:
            self._overhead += len(data)
        self._feed(data)
        if not self._in_head and self._overhead > MAX_OVERHEAD:
            self._refuse(431, f"More than {MAX_OVERHEAD} bytes of chunk extensions or trailer fields.")
        if not (self._in_head and self._head):
            return
        if self._head > MAX_HEAD:
            self._too_large()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._bounds.head_seconds, self._head_late)

    def _feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        rest: bytes | memoryview = data
        try:
            while True:
                try:
                    self.parser.feed_data(rest)
                except httptools.HttpParserUpgrade as upgrade:
                    if self._refused:
                        return
                    rest = memoryview(rest)[upgrade.args[0] :]
                    self._head_again()
                else:
                    return
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _head_again(self) -> None:
        """Parse the head of an upgrade as that of a plain request; its body, if it has one, follows."""
        old, self.parser = self.parser, httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's: see its __init__
        start = b"%b %b HTTP/%b\r\n" % (old.get_method(), self.url, old.get_http_version().encode())
        lines = (b"%b: %b\r\n" % line for line in self.headers if line[0] != b"upgrade")
        self.parser.feed_data(b"".join((start, *lines, b"\r\n")))

    # The parser's callbacks

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_head = self._within = True
        self._upgrading = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Answer a memory hit at once; pass everything else to the application."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrading = True
            return
        large = self._head > MAX_HEAD  # of a head that came in one piece with a body, perhaps
        self._head = self._overhead = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._refused or self.transport.is_closing():
            self._answered = True
        elif not self._answer_hot() and self._usable(large=large):
            self.scope["extensions"] = self._extensions()  # type: ignore[typeddict-item]
            super().on_headers_complete()
            self.headers = []  # what still comes are trailer fields, which are nobody's headers (RFC 9110, 6.5.1)
        self._in_head = False

    def _extensions(self) -> dict[str, Callable[[], object]]:
        """Give `Exchange` what ASGI does not: whether the client went away, and whether it is this user."""
        return {
            "closing": self.transport.is_closing,
            "own_user": lambda: own_user(self.transport),
            "users_process": lambda: users_process(self.transport),
            "program": lambda: self._program,
        }

    def _answer_hot(self) -> bool:
        parser, cycle = self.parser, self.cycle
        if not self._hot or _busy(cycle) or self.pipeline or self.flow.write_paused:
            return False
        method = parser.get_method()
        if method not in _READS or not parser.should_keep_alive() or parser.get_http_version() != "1.1":
            return False
        answer = self._front.hot.answer(self.url, self.headers)
        if answer is None:
            return False
        head, body = answer
        self._write_now(head, body if method == b"GET" else b"")
        self._answered = True
        self._hits += 1
        if self._program is not None:
            self._program.requests += 1
            self._program.saved += 1
        self.server_state.total_requests += 1
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        return True

    def _write_now(self, head: bytes, body: bytes) -> None:
        """Write within this callback: uvloop would keep both until the end of its iteration."""
        sent = 0
        if self._descriptor != NO_DESCRIPTOR and not self.transport.get_write_buffer_size():
            with contextlib.suppress(OSError):  # full: the transport waits for room; gone: it finds out
                sent = os.writev(self._descriptor, (head, body))
        if sent < len(head):
            self.transport.write(head[sent:])
        if sent < len(head) + len(body):
            self.transport.write(memoryview(body)[max(0, sent - len(head)) :])

    def _usable(self, *, large: bool) -> bool:
        """Whether the head can be handed on; refuses the request when not."""
        if large and len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD:
            self._too_large()
        elif len(self.pipeline) >= PIPELINED:
            self._refuse(503, f"More than {PIPELINED} requests wait on this connection for an answer.")
        elif self.parser.get_http_version() not in ("1.0", "1.1"):
            self._refuse(505, "This gateway speaks HTTP/1.1.")
        elif self.parser.get_method() == b"CONNECT":
            self._refuse(405, "This is a gateway to GitHub's API, not a proxy for tunnels: take it out of HTTPS_PROXY.")
        elif not self.url.startswith(b"/") and not self._to_origin_form():
            self._refuse(400, "The request target must be a path, or a whole http URL.")
        return not self._refused

    def _to_origin_form(self) -> bool:
        """Take the host from a whole URL, which counts for more than the Host field (RFC 9112 section 3.2.2)."""
        absolute = _ABSOLUTE.fullmatch(self.url)
        if absolute is None:
            return False
        authority, rest = absolute.groups()
        self.url = rest if rest.startswith(b"/") else b"/" + rest
        self.headers[:] = [*(line for line in self.headers if line[0] != b"host"), (b"host", authority)]
        return True

    def on_body(self, body: bytes) -> None:
        """Pass a piece of a request's body on."""
        self._overhead = 0
        if not self._answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request; the next one begins with a head."""
        if self._upgrading:
            return
        self._in_head = True
        self._within = False
        if not self._answered:
            super().on_message_complete()
        self._answered = self._refused

    # Refusals

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP/1.1 with a sentence, and end the connection."""
        self._refuse(400, f"{msg} This is an HTTP/1.1 gateway to GitHub's API.")

    def _too_large(self) -> None:
        self._refuse(431, f"The request line and headers are larger than {MAX_HEAD} bytes.")

    def _head_late(self) -> None:
        self._head_timer = None
        if self._head:
            self._refuse(408, f"The request's headers did not arrive within {self._bounds.head_seconds:g} seconds.")
        else:
            self.transport.close()

    def _refuse(self, status: int, sentence: str) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = self._answered = True
        cycle = self.cycle
        if _busy(cycle):
            if self._in_head:  # an earlier request waits for its answer, which has to come first and will be the last
                cycle.keep_alive = False
                return
            cycle.disconnected = True  # its own body is broken
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.abort()
                return
        self.transport.write(last_answer(status, sentence, "detail=refused"))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self.loop.call_later(self._bounds.linger_seconds, self.transport.abort)


def _busy(cycle: RequestResponseCycle | None) -> bool:
    return cycle is not None and not cycle.response_complete
