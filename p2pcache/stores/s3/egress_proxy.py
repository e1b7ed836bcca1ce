"""A forward proxy inside the node for the requests of the client library, which trusts what answers them.

The library (Rust's object_store) follows redirects, and reads the bodies of listings and of errors whole. It has no
option for either, but it takes a proxy. This one sends requests to a few origins only, passes no redirect, and bounds
each answer. Of https it ends TLS itself (`interception`), and verifies the origin's certificate in place of the
library. It listens on the loopback, and asks for a password that the library alone has.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import NamedTuple

from yarl import URL

from p2pcache.cache.codec import MAX_BLOCK
from p2pcache.stores.s3.forwarding import Forwarder, ProxyRequest
from p2pcache.stores.s3.interception import intercepting

HEAD_BYTES = 64 << 10
IDLE_SECONDS = 30.0
"""Between two requests of a connection, and for the handshake and the body of one."""
CONNECTIONS = 128
"""Of the client library, at once."""
_USER = "p2pcache"

Origin = tuple[str, str, int]
"""Scheme, host and port."""


class _RefusedError(Exception):
    """A request is answered with this status, and ends its connection."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Head(NamedTuple):
    method: str
    target: str
    headers: list[tuple[str, str]]

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


class EgressProxy(NamedTuple):
    """What a client needs: the proxy's URL, with its password, and the certificate to trust behind it, as PEM."""

    url: str
    certificate: str


@contextlib.asynccontextmanager
async def egress_proxy(
    urls: Iterable[str], *, forwarder: Forwarder | None = None, idle: float = IDLE_SECONDS
) -> AsyncIterator[EgressProxy]:
    """Run a proxy to the origins of these URLs."""
    allowed = {origin for url in urls if (origin := _origin(url))}
    password = secrets.token_urlsafe(32)
    tls, certificate = await asyncio.to_thread(intercepting, {host for _, host, _ in allowed})
    async with forwarder or Forwarder() as forwarding:
        connections = _Connections(allowed, password, tls, forwarding, idle)
        server = await asyncio.start_server(connections.serve, "127.0.0.1", 0, limit=HEAD_BYTES)
        try:
            port = server.sockets[0].getsockname()[1]
            yield EgressProxy(f"http://{_USER}:{password}@127.0.0.1:{port}", certificate)
        finally:
            server.close()
            await connections.end()


class _Connections:
    """The client library's connections.

    Args:
        allowed: where requests may go.
        password: of the proxy.
        tls: the server's side of connections to an origin by https.
        forwarder: sends requests on.
        idle: see `IDLE_SECONDS`.
    """

    def __init__(
        self, allowed: set[Origin], password: str, tls: ssl.SSLContext, forwarder: Forwarder, idle: float
    ) -> None:
        self._allowed = allowed
        self._credentials = base64.b64encode(f"{_USER}:{password}".encode("ascii"))
        self._tls = tls
        self._forwarder = forwarder
        self._idle = idle
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = False

    async def end(self) -> None:
        """End all of them, and take no other."""
        self._ended = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        task = asyncio.current_task()
        try:
            if task and len(self._tasks) < CONNECTIONS and not self._ended:
                self._tasks.add(task)
                await self._serve(reader, writer)
        except (_RefusedError, OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # it was refused, went away, was silent for too long (a TimeoutError is an OSError), or the proxy ends
        finally:
            if task:
                self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _refusing(writer):
            head = await self._head(reader)
            if head.method != "CONNECT":
                await self._requests(head, reader, writer, self._absolute)
                return
            base = self._admit(head, f"https://{head.target}")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await writer.drain()
        async with self._secured(writer) as (inner_reader, inner_writer), _refusing(inner_writer):
            head = await self._head(inner_reader)
            await self._requests(head, inner_reader, inner_writer, partial(_below, base))

    async def _requests(
        self,
        head: _Head,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        url: Callable[[_Head], str],
    ) -> None:
        answered = True
        while answered:
            request = ProxyRequest(head.method, url(head), head.headers, await self._body(head, reader))
            answer = asyncio.create_task(self._forwarder.answer(request, writer))
            following = asyncio.create_task(self._head(reader))
            try:
                await asyncio.wait((answer, following), return_when=asyncio.FIRST_COMPLETED)
                if following.done():  # with an error where the client went away, and then the answer is not awaited
                    following.result()
                if answered := await answer:
                    head = await following
            finally:
                answer.cancel()
                following.cancel()
                await asyncio.gather(answer, following, return_exceptions=True)

    async def _head(self, reader: asyncio.StreamReader) -> _Head:
        async with asyncio.timeout(self._idle):
            data = await reader.readuntil(b"\r\n\r\n")
        try:
            start, *lines = data.decode("ascii").split("\r\n")[:-2]
            method, target, _ = start.split(" ")
            pairs = (line.split(":", 1) for line in lines)
            return _Head(method, target, [(name, value.strip()) for name, value in pairs])
        except ValueError:
            raise _RefusedError(400) from None

    async def _body(self, head: _Head, reader: asyncio.StreamReader) -> bytes:
        length = head.get("content-length") or "0"
        if head.get("transfer-encoding") or not length.isdecimal():
            raise _RefusedError(411)
        if int(length) > MAX_BLOCK:
            raise _RefusedError(413)
        async with asyncio.timeout(self._idle):
            return await reader.readexactly(int(length))

    def _absolute(self, head: _Head) -> str:
        self._admit(head, head.target)
        return head.target

    def _admit(self, head: _Head, url: str) -> str:
        """Return the URL of the origin that `url` is at.

        Raises:
            _RefusedError: it is not allowed, or the request has not the password.
        """
        scheme, _, given = head.get("proxy-authorization").partition(" ")
        if scheme != "Basic" or not hmac.compare_digest(given.encode("ascii"), self._credentials):
            raise _RefusedError(407)
        if _origin(url) not in self._allowed:
            raise _RefusedError(421)
        return str(URL(url).origin())

    @contextlib.asynccontextmanager
    async def _secured(
        self, writer: asyncio.StreamWriter
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Be the TLS server of a connection, and yield its new streams."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=HEAD_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport = await loop.start_tls(
            writer.transport, protocol, self._tls, server_side=True, ssl_handshake_timeout=self._idle
        )
        if transport is None:  # it ended during the handshake
            raise ConnectionResetError
        protocol.connection_made(transport)
        try:
            yield reader, asyncio.StreamWriter(transport, protocol, reader, loop)
        finally:
            transport.abort()


@contextlib.asynccontextmanager
async def _refusing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    except _RefusedError as refused:
        writer.write(b"HTTP/1.1 %d \r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % refused.status)
        await writer.drain()
        raise


def _below(base: str, head: _Head) -> str:
    if not head.target.startswith("/"):
        raise _RefusedError(400)
    return base + head.target


def _origin(text: str) -> Origin | None:
    """Return the origin of a URL; None where it has none."""
    try:
        url = URL(text)
    except ValueError:
        return None
    return (url.scheme, url.raw_host, url.port) if url.raw_host and url.port else None
