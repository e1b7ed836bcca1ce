"""One ASGI request and the answer to it, without a framework between."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from p2pcache.gateway.callers import foreign_page
from p2pcache.gateway.head import JSON, Line, cache_status, clean, error_body
from p2pcache.github.headers import FRAMING, end_to_end
from p2pcache.ledger.ledger import RouteCount

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
"""The gateway, as ASGI has it."""

MAX_HELD = 8 << 20
"""Bytes of an answer of unknown length that are gathered for a client of HTTP/1.0, which knows no chunks."""
BODILESS = (204, 304)

_HOST = re.compile(rb"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)


class BadRequest(Exception):  # noqa: N818 - what it is, in HTTP's words
    """A request that cannot be used: the status, the sentence for the client, and header lines that go with it."""

    def __init__(self, status: int, sentence: str, *lines: Line) -> None:
        super().__init__(sentence)
        self.status = status
        self.lines = lines


class Disconnected(Exception):  # noqa: N818 - no error of anybody here
    """The client went away."""


class Exchange:
    """The request's parts as the gateway needs them, and what has been sent so far."""

    def __init__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send, body_seconds: float = 30.0
    ) -> None:
        self.method: str = scope["method"]
        query: bytes = scope["query_string"]
        self.raw_target: bytes = scope["raw_path"] + (b"?" + query if query else b"")
        self.raw_headers: list[Line] = end_to_end(scope["headers"], FRAMING)
        """The header lines without those of the client's connection: nothing here is computed from these."""
        self.client: tuple[str, int] | None = scope.get("client")
        self.scheme: str = scope.get("scheme", "http")
        self.started = False
        self.status = 0
        self.head: list[Line] = []
        self.route = self.rule = ""
        """What was asked and what decided it, for the log; empty until that is known."""
        self.first_at = 0.0
        """When the answer began, by `time.monotonic`; 0 before."""
        self._old = scope["http_version"] == "1.0"
        self._held: tuple[int, list[Line], bytearray] | None = None
        extensions: dict[str, Callable[[], Any]] = scope.get("extensions", {})
        self._closing: Callable[[], bool] = extensions.get("closing", lambda: False)
        self.unsafe: Callable[[], None] = extensions.get("unsafe", lambda: None)
        """Called before a request goes out that must not be sent twice."""
        self.own_user: Callable[[], bool] = extensions.get("own_user", lambda: False)
        """Whether the kernel vouches that this node's own user asks."""
        self.users_process: Callable[[], bool] = extensions.get("users_process", lambda: False)
        """Whether the kernel vouches that a process of this node's user is connected, also over the loopback."""
        self.program: RouteCount | None = extensions.get("program", lambda: None)()
        """The counters of the kind of program that asks, where it was led here by name."""
        self._answering: Callable[[], None] = extensions.get("answering", lambda: None)
        self._body_seconds = body_seconds
        self._more = True
        self._receive = receive
        self._send = send
        self._pairs: list[tuple[str, str]] | None = None
        self._headers: dict[str, str] | None = None

    @property
    def target(self) -> str:
        """Path and query as sent; the parser lets through nothing that is not ASCII."""
        return self.raw_target.decode("ascii")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The header lines: lower-case names, values that become the same bytes again on the way to GitHub.

        Raises:
            BadRequest: a value is neither ASCII nor UTF-8.
        """
        if self._pairs is None:
            try:
                self._pairs = [(name.decode("ascii"), value.decode()) for name, value in self.raw_headers]
            except UnicodeDecodeError:
                raise BadRequest(400, "A header value is neither ASCII nor UTF-8.") from None
        return self._pairs

    @property
    def headers(self) -> dict[str, str]:
        """Lower-case names; repeated fields joined (RFC 9110 section 5.3)."""
        if self._headers is None:
            joined: dict[str, str] = {}
            for name, value in self.pairs:
                joined[name] = f"{joined[name]}, {value}" if name in joined else value
            self._headers = joined
        return self._headers

    @property
    def host(self) -> str:
        """The one Host (RFC 9112 section 3.2).

        Raises:
            BadRequest: there is none, more than one, or it is no host.
        """
        values = [value.strip() for name, value in self.raw_headers if name == b"host"]
        if len(values) != 1 or not _HOST.fullmatch(values[0]):
            raise BadRequest(400, "A request needs exactly one Host, a name or address with or without a port.")
        return values[0].decode("ascii")

    @property
    def authorization(self) -> str:
        """The one ``Authorization``, or nothing (RFC 9110 section 5.3: a field that is no list comes once).

        Raises:
            BadRequest: there are several: what each is for, and which GitHub would take, is unknown.
        """
        values = [value for name, value in self.pairs if name == "authorization"]
        if len(values) > 1:
            raise BadRequest(400, "A request has one Authorization at most.")
        return values[0] if values else ""

    @property
    def streams(self) -> bool:
        """Whether an answer without an end in sight can be sent: a client of HTTP/1.0 knows no chunks."""
        return not self._old

    @property
    def saved(self) -> bool:
        """Whether the answer that was sent cost no charged call, as the ledger counts it."""
        status = b"".join(value for name, value in self.head if name == b"cache-status")
        if b"fwd-status=304" in status or b"detail=revalidated" in status:
            # GitHub charges an anonymous caller for a 304, and what passes the cache by is none of it.
            return "authorization" in self.headers and b"fwd=bypass" not in status
        return status.startswith(b"p2pcache; hit")

    @property
    def foreign(self) -> bool:
        """Whether a page of another site asks, through a browser."""
        return foreign_page(self.headers, self.host, self.scheme)

    @property
    def length(self) -> int | None:
        """The announced length of the body, 0 when there is none; None when it comes in chunks.

        The parser has refused what is not one number.
        """
        if "transfer-encoding" in self.headers:
            return None
        return int(self.headers.get("content-length", "0"))

    async def body(self, limit: int) -> tuple[bytes, bool]:
        """Read the body up to a little over `limit` bytes; return it, and whether that was all of it.

        Raises:
            Disconnected: the client broke off.
            BadRequest: it paused for too long.
        """
        pieces = bytearray()
        async for piece in self.stream():
            pieces += piece
            if len(pieces) > limit:
                return bytes(pieces), False
        return bytes(pieces), True

    async def gone(self) -> None:
        """Wait until the client, whose body has been read, went away."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def stream(self, first: bytes = b"") -> AsyncIterator[bytes]:
        """Yield the body in pieces, after `first`, which was read already: as long as was announced, or an error.

        Raises:
            Disconnected: the client broke off.
            BadRequest: it paused for too long.
        """
        received = len(first)
        if first:
            yield first
        while self._more:
            try:
                async with asyncio.timeout(self._body_seconds):
                    message = await self._receive()
            except TimeoutError:
                sentence = f"The request's body did not go on for {self._body_seconds:g} seconds."
                raise BadRequest(408, sentence, (b"connection", b"close")) from None
            if message["type"] == "http.disconnect":
                raise Disconnected
            self._more = message.get("more_body", False)
            if piece := message.get("body", b""):
                received += len(piece)
                yield piece
        if self.length not in (None, received):
            raise Disconnected

    async def start(self, status: int, lines: Iterable[Line]) -> None:
        """Send status and header lines; lines that are not valid header lines are omitted."""
        head = clean(lines)
        self.started, self.status, self.head = True, status, head
        self.first_at = time.monotonic()
        unframed = status not in BODILESS and self.method != "HEAD" and all(n != b"content-length" for n, _ in head)
        if self._old and unframed:
            self._held = status, head, bytearray()
            return
        self._answering()
        await self._send({"type": "http.response.start", "status": status, "headers": head})

    async def send(self, body: bytes, *, more: bool = False) -> None:
        """Send a piece of the body, once the client has read most of what came before.

        Raises:
            Disconnected: the client broke off, or an old one would have to be sent more than can be gathered.
        """
        if self._closing():
            raise Disconnected
        if self._held is not None:
            status, lines, gathered = self._held
            gathered += body
            if len(gathered) > MAX_HELD:
                raise Disconnected
            if more:
                return
            self._held, body = None, bytes(gathered)
            await self.start(status, [*lines, (b"content-length", b"%d" % len(body))])
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def reply(self, status: int, body: bytes, lines: Iterable[Line] = ()) -> None:
        """Send a whole answer; a 204 or 304 has no body, whatever is given."""
        if status in BODILESS:
            await self.start(status, lines)
            await self.send(b"")
            return
        await self.start(status, [*lines, (b"content-length", b"%d" % len(body))])
        await self.send(body)

    async def refuse(self, status: int, sentence: str, detail: str, lines: Iterable[Line] = ()) -> None:
        """Send an error.

        Once an answer has begun it is too late: the server ends the connection of an unfinished one, and the client
        sees that something is missing.
        """
        if self.started:
            return
        await self.reply(status, error_body(sentence), [JSON, cache_status(f"detail={detail}"), *lines])
