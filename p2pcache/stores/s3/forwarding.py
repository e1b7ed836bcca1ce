"""One request of the client library, sent on to its origin, and the answer with bounds on it.

What the origin did wrong becomes an answer of the proxy's own: a status, and a code in the form of S3's errors, which
`object_errors` has the sentences for.
"""

from __future__ import annotations

import asyncio
import io
import logging
import ssl
from collections.abc import Collection, Iterable
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_parser import RawResponseMessage
from yarl import URL

from p2pcache.bounded import gathered
from p2pcache.cache.codec import MAX_BLOCK
from p2pcache.github.headers import HOP_BY_HOP
from p2pcache.proxies import Proxies

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 2.0
EXCHANGE_SECONDS = 6.0
"""For a request and its answer: the client library gives up before."""
CONNECTIONS = 32
"""To origins; more requests wait."""
MOST_BYTES = MAX_BLOCK
"""Of a body. The largest is a block; a listing's page of 1,000 names has less than 1 MB."""
ERROR_BYTES = 16 << 10
"""Of an error's body: no more of it is looked at."""
INTERIM = 16
"""Interim answers (RFC 9110 section 15.2) before an answer."""
UNREACHABLE, BROKEN, SLOW = "OriginUnreachable", "OriginBroken", "OriginSlow"
REDIRECTS, UNTRUSTED = "OriginRedirects", "OriginUntrusted"


class ProxyRequest(NamedTuple):
    """A request to be sent on: its URL is absolute, and in the form that was signed."""

    method: str
    url: str
    headers: Collection[tuple[str, str]]
    body: bytes


class _Answers(ResponseHandler):
    """A connection to an origin, which ends after a few interim answers: the HTTP client takes any number of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._interim = 0

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        if data[0].code >= 200 or data[0].code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._interim = 0
            super().feed_data(data, size)
            return
        self._interim += 1
        if self._interim > INTERIM:
            self.abort()


class Forwarder:
    """Sends requests to their origins, through the proxy that the environment names for them."""

    def __init__(self, *, seconds: float = EXCHANGE_SECONDS, most: int = MOST_BYTES) -> None:
        self._seconds = seconds
        self._most = most
        self._proxies = Proxies()

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=await asyncio.to_thread(_verifying))
        # There is no public way to choose the protocol of connections.
        connector._factory = partial(_Answers, asyncio.get_running_loop())  # type: ignore[assignment]  # noqa: SLF001
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def answer(self, request: ProxyRequest, writer: asyncio.StreamWriter) -> bool:
        """Write the answer to a request, all of it or its beginning; return whether it is whole."""
        begun = False
        proxy = self._proxies.of(request.url)
        headers = [(name, value) for name, value in request.headers if name.lower() not in HOP_BY_HOP]
        headers += proxy.plain.items()
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=headers,
                    data=io.BytesIO(request.body) if request.body else None,
                    allow_redirects=False,
                    proxy=proxy.url,
                    proxy_headers=proxy.headers,
                ) as response,
            ):
                if response.status < 200:  # it switched protocols
                    raise aiohttp.ClientPayloadError
                if response.headers.get("Location") and 300 <= response.status < 400:
                    writer.write(_own(421, REDIRECTS))
                elif response.status >= 300 and request.method != "HEAD":
                    body = await gathered(response.content.iter_any(), ERROR_BYTES)
                    if len(body) > ERROR_BYTES:
                        response.close()  # what follows is never read
                    body = body[:ERROR_BYTES]
                    writer.write(_head(response, f"Content-Length: {len(body)}") + body)
                else:
                    begun = True
                    await self._pass(response, writer, bodiless=request.method == "HEAD")
                await writer.drain()
        except (aiohttp.ClientError, OSError, ValueError) as error:  # a TimeoutError is an OSError
            status, code = _failure(error)
            _log.debug("a request of the S3 client failed: %s (%s)", code, type(error).__name__)
            if begun:
                return False
            writer.write(_own(status, code))
            await writer.drain()
        return True

    async def _pass(self, response: aiohttp.ClientResponse, writer: asyncio.StreamWriter, *, bodiless: bool) -> None:
        """Write an answer piece by piece, no faster than it is read.

        Raises:
            ClientPayloadError: the body has more bytes than it may have, or than it says.
        """
        length = None if "Transfer-Encoding" in response.headers else response.headers.get("Content-Length")
        bodiless |= response.status == HTTPStatus.NO_CONTENT
        chunked = length is None and not bodiless
        writer.write(_head(response, "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length or 0}"))
        most = min(self._most, int(length)) if length else self._most
        passed = 0
        async for piece in response.content.iter_any():
            passed += len(piece)
            if passed > most:
                raise aiohttp.ClientPayloadError
            writer.writelines((b"%x\r\n" % len(piece), piece, b"\r\n") if chunked else (piece,))
            await writer.drain()
        if chunked:
            writer.write(b"0\r\n\r\n")


def _verifying() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Python 3.13 asks more of a company's own authority than the client library and older Pythons do.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _head(response: aiohttp.ClientResponse, framing: str) -> bytes:
    dropped = {*HOP_BY_HOP, "content-length"}
    kept = ((name, value) for name, value in response.raw_headers if name.decode("latin-1").lower() not in dropped)
    return _lines(response.status, (b"%s: %s" % pair for pair in kept), framing)


def _own(status: int, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code></Error>".encode("ascii")
    return _lines(status, (), f"Content-Length: {len(body)}") + body


def _lines(status: int, headers: Iterable[bytes], framing: str) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 %d " % status, *headers, framing.encode("ascii"), b"", b""))


def _failure(error: Exception) -> tuple[int, str]:
    """Return the answer for an error; the client library tries again after a status of the 5xx, and no other."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return 421, UNTRUSTED
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError):
        return 502, UNREACHABLE
    if isinstance(error, TimeoutError):
        return 504, SLOW
    return 502, BROKEN
