"""One ASGI request and the answer to it, without a framework between."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")


def _nothing() -> None: ...


class BadRequest(Exception):
    """A request that cannot be used: the status and the sentence for the client."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Disconnected(Exception):
    """The client went away before its request was whole."""


class Exchange:
    """The request's parts as the gateway needs them, and what has been sent so far."""

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        query: bytes = scope["query_string"]
        self.raw_target: bytes = scope["raw_path"] + (b"?" + query if query else b"")
        self.raw_headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.client: tuple[str, int] | None = scope.get("client")
        self.http_version: str = scope["http_version"]
        self.unsafe: Callable[[], None] = scope.get("unsafe", _nothing)
        """Called before the request goes out if it must not be made twice."""
        self.started = False
        self.status = 0
        self._receive = receive
        self._send = send
        self._headers: dict[str, str] | None = None

    @property
    def target(self) -> str:
        """Path and query as sent; the parser lets through nothing that is not Latin-1."""
        return self.raw_target.decode("latin-1")

    @property
    def headers(self) -> dict[str, str]:
        """Lower-case names; repeated fields joined (RFC 9110 section 5.3)."""
        if self._headers is None:
            joined: dict[str, str] = {}
            for raw_name, raw_value in self.raw_headers:
                name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
                joined[name] = f"{joined[name]}, {value}" if name in joined else value
            self._headers = joined
        return self._headers

    @property
    def host(self) -> str:
        """The one Host (RFC 9112 section 3.2).

        Raises:
            BadRequest: there is none, or more than one.
        """
        values = [value for name, value in self.raw_headers if name == b"host"]
        if len(values) != 1 or not values[0].strip():
            raise BadRequest(400, "A request needs exactly one Host header.")
        return values[0].decode("latin-1").strip()

    @property
    def length(self) -> int | None:
        """The announced length of the body; None when it comes in chunks; 0 when there is none."""
        if "transfer-encoding" in self.headers:
            return None
        value = self.headers.get("content-length", "0")
        if not value.isascii() or not value.isdigit():
            raise BadRequest(400, "Content-Length must be one number.")
        return int(value)

    async def body(self, limit: int) -> tuple[bytes, bool]:
        """The body up to a little over `limit` bytes, and whether that was all of it.

        Raises:
            Disconnected: the client broke off.
        """
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if not message.get("more_body", False):
                return b"".join(pieces), True
            if size > limit:
                return b"".join(pieces), False

    async def stream(self, first: bytes = b"") -> AsyncIterator[bytes]:
        """The body in pieces, after `first`, which was read already.

        Raises:
            Disconnected: the client broke off.
        """
        if first:
            yield first
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            if piece := message.get("body", b""):
                yield piece
            if not message.get("more_body", False):
                return

    async def start(self, status: int, lines: Iterable[tuple[bytes, bytes]]) -> None:
        """Send status and header lines; what cannot stand in a header line is left out."""
        self.started = True
        self.status = status
        clean = [(n, v) for n, v in lines if _TOKEN.fullmatch(n) and not _BAD_VALUE.search(v)]
        await self._send({"type": "http.response.start", "status": status, "headers": clean})

    async def send(self, body: bytes, *, more: bool = False) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def reply(self, status: int, body: bytes, lines: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Send a whole answer."""
        await self.start(status, [*lines, (b"content-length", b"%d" % len(body))])
        await self.send(body)
