"""HTTP to GitHub: one connection pool, no write repeated, no redirect followed, every wait bounded."""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from p2pcache.bounded import Bounded
from p2pcache.cache.upstream import UpstreamError
from p2pcache.gateway.callers import CREDENTIALS, Accepted
from p2pcache.gateway.routing import Upstreams
from p2pcache.gateway.seen import called
from p2pcache.github import quota
from p2pcache.github.headers import forwarded, upstream_user_agent
from p2pcache.github.methods import SAFE
from p2pcache.github.request import Request
from p2pcache.http_errors import reason
from p2pcache.interception.resolver import PastHostsFile
from p2pcache.proxies import Proxies

CONNECTIONS = 256
PIECE = 64 << 10
STEP = 4 * PIECE
GZIP = ("gzip", "x-gzip")

REPLACED_FIELDS = frozenset({"content-length", "expect", "host", "transfer-encoding"})
"""Fields that describe the client's own message: this node announces only what it sends itself."""

Counted = Callable[[int, bool, str], None]
"""Called with each answer: its status, whether the request had a credential, and the path of the API it was about."""


class UpstreamTimeoutError(UpstreamError):
    """GitHub did not answer, or not go on, in time."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds to connect, and seconds without anything moving in either direction."""

    connect: float = 10.0
    idle: float = 60.0


class UpstreamResponse:
    """An aiohttp response as `cache.upstream.Response`."""

    def __init__(self, response: aiohttp.ClientResponse, release: Callable[[], None]) -> None:
        self.status = response.status
        self.pairs = [(n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in response.raw_headers]
        headers: dict[str, str] = {}
        for name, value in self.pairs:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self.headers: Mapping[str, str] = headers
        self.coding = self.headers.get("content-encoding", "identity").lower()
        self._response = response
        self._release = release
        self._read = b""
        self._body = self.raw() if self.coding not in GZIP else inflated(self.raw())

    async def read(self, limit: int) -> bytes | None:
        """See `cache.upstream.Response.read`."""
        pieces = bytearray()
        async for piece in self._body:
            pieces += piece
            if len(pieces) > limit:
                self._read = bytes(pieces)
                return None
        return bytes(pieces)

    async def stream(self) -> AsyncIterator[bytes]:
        """See `cache.upstream.Response.stream`."""
        if self._read:
            first, self._read = self._read, b""
            yield first
        async for piece in self._body:
            yield piece

    async def raw(self) -> AsyncIterator[bytes]:
        """The body as it came over the wire, content coding and all."""
        try:
            async for piece in self._response.content.iter_chunked(PIECE):
                yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure("broke off its answer", error) from error

    async def close(self) -> None:
        """See `cache.upstream.Response.close`."""
        if self._response.content.is_eof():
            self._response.release()
        else:
            self._response.close()
        self._release()


async def inflated(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Gzip undone (RFC 1952, so several members too), in bounded steps: a small body may unpack to a very large one.

    Raises:
        UpstreamError: it is no gzip, or not all of it.
    """
    inflate = zlib.decompressobj(wbits=31)
    empty = True
    try:
        async for data in pieces:
            while data:
                if inflate.eof:
                    inflate = zlib.decompressobj(wbits=31)
                empty = False
                if out := inflate.decompress(data, STEP):
                    yield out
                data = inflate.unconsumed_tail or inflate.unused_data
        if tail := inflate.flush():
            yield tail
    except zlib.error as error:
        raise UpstreamError("GitHub's answer is not the gzip it claims to be") from error
    if not (empty or inflate.eof):
        raise UpstreamError("GitHub's answer ended before its gzip did")


class HttpUpstream:
    """Asks GitHub over HTTP, for the cache and for what is passed through.

    Attributes:
        deadlines: how long it waits.
        connector: makes the connection pool; a test's may resolve GitHub's names to this machine.
        accepted: credentials that GitHub is known to have accepted.
        unreachable: why the API could not be reached at the last attempt, one sentence; empty when it was.
    """

    def __init__(self, upstreams: Upstreams, version: str, counted: Counted, token: str | None = None) -> None:
        self.deadlines = Deadlines()
        self.accepted = Accepted(token)
        self.connector: Callable[[], aiohttp.BaseConnector] = lambda: aiohttp.TCPConnector(
            limit=CONNECTIONS, ttl_dns_cache=60, resolver=PastHostsFile()
        )
        self.unreachable = ""
        self._upstreams = upstreams
        self._own = (upstreams.api, upstreams.graphql, upstreams.uploads)  # other servers have quotas of their own
        self._agent = upstream_user_agent(version)
        self._counted = counted
        self._places: Bounded[str, asyncio.Semaphore] = Bounded(CREDENTIALS)
        self._proxies = Proxies()
        self._reads: aiohttp.ClientSession | None = None
        self._writes: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = self.connector()
        self._reads, self._writes = self._session(connector), self._session(connector)
        # aiohttp sends PUT and DELETE again when a kept connection had gone; nothing here repeats a write.
        self._writes._retry_connection = False  # noqa: SLF001 - there is no public way
        return self

    def _session(self, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self.deadlines.connect, sock_read=self.deadlines.idle
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            max_line_size=64 << 10,
            max_field_size=64 << 10,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._reads, self._writes):
            if session is not None:
                await session.close()

    def api_url(self, target: str) -> str:
        """Return the URL of an API target (origin-form, without layout prefix)."""
        if target.partition("?")[0] == "/graphql":
            return self._upstreams.graphql + target.removeprefix("/graphql")
        return self._upstreams.api + target

    def url(self, request: Request) -> str:
        """Return the URL of a request."""
        return self._upstreams.raw + request.target if request.raw else self.api_url(request.target)

    async def fetch(self, request: Request, conditions: Mapping[str, str]) -> UpstreamResponse:
        """See `cache.upstream.Upstream.fetch`."""
        headers = {
            **forwarded(request.headers),
            **conditions,
            "user-agent": self._agent,
            "accept-encoding": "gzip",
        }
        answer = await self.send(request.method, self.url(request), headers.items(), request.body or None)
        if answer.coding not in ("identity", *GZIP):
            await answer.close()
            raise UpstreamError("GitHub answered in a content coding it was not asked for")
        return answer

    async def send(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> UpstreamResponse:
        """Send one request and return when the head of the answer is here.

        Raises:
            UpstreamError: there is none.
        """
        session = self._reads if method in SAFE else self._writes
        if session is None or session.closed:
            raise UpstreamError("the gateway is shutting down")
        lines = list(headers)
        credential = next((value for name, value in lines if name == "authorization"), "")
        place = await self._place(credential)
        proxy = self._proxies.of(url)
        idle, began = self.deadlines.idle, time.monotonic()
        try:
            async with asyncio.timeout(self.deadlines.connect + idle) as deadline:
                response = await session.request(
                    method,
                    URL(url, encoded=True),
                    headers=[*lines, *proxy.plain.items()],
                    data=_paced(body, deadline, idle) if isinstance(body, AsyncIterator) else body,
                    allow_redirects=False,
                    proxy=proxy.url,
                    proxy_headers=proxy.headers,
                )
        except BaseException as error:
            place.release()
            called(began, 0)
            if isinstance(error, (aiohttp.ClientError, TimeoutError, OSError, ValueError)):
                way = f" through the proxy {proxy.url.host}:{proxy.url.port}" if proxy.url else ""
                failure = _failure(f"at {urlsplit(url).hostname} cannot be reached{way}", error)
                if url.startswith(self._upstreams.api):
                    self.unreachable = str(failure)
                raise failure from error
            raise
        called(began, response.status)
        if url.startswith(self._upstreams.api):
            self.unreachable = ""
        if url.startswith(self._own):
            path = url.removeprefix(self._upstreams.api).partition("?")[0]
            self._counted(response.status, bool(credential), path)
            if credential:
                self.accepted.note(credential, response.status)
        return UpstreamResponse(response, _once(place.release))

    async def _place(self, credential: str) -> asyncio.Semaphore:
        """Wait for one of a token's 100 concurrent requests (docs.github.com: secondary rate limits)."""
        place = self._places.get(credential) or asyncio.Semaphore(quota.MAX_CONCURRENT)
        self._places[credential] = place
        try:
            async with asyncio.timeout(self.deadlines.idle):
                await place.acquire()
        except TimeoutError as error:
            sentence = f"{quota.MAX_CONCURRENT} requests of this token wait for GitHub already"
            raise UpstreamTimeoutError(sentence) from error
        return place


async def _paced(body: AsyncIterator[bytes], deadline: asyncio.Timeout, idle: float) -> AsyncIterator[bytes]:
    """Yield a body, each piece with a deadline of its own: a long upload is no stalled one."""
    now = asyncio.get_running_loop().time
    async for piece in body:
        if not deadline.expired():
            with contextlib.suppress(RuntimeError):  # the answer came before the end of the body
                deadline.reschedule(now() + idle)
        yield piece


def _once(action: Callable[[], None]) -> Callable[[], None]:
    done = False

    def run() -> None:
        nonlocal done
        if not done:
            done = True
            action()

    return run


def _failure(what: str, error: BaseException) -> UpstreamError:
    """Describe an error by its kind and the system's words: the HTTP client's own text may hold whole URLs."""
    if isinstance(error, TimeoutError):
        return UpstreamTimeoutError(f"GitHub {what} (nothing came in time)")
    detail = reason(error)
    return UpstreamError(f"GitHub {what} ({detail})")
