"""The way to GitHub: one connection pool, nothing retried, no redirect followed, every wait bounded."""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from p2pcache.cache.upstream import UpstreamError
from p2pcache.gateway.routing import Upstreams
from p2pcache.github import quota
from p2pcache.github.headers import hop_by_hop, upstream_user_agent
from p2pcache.github.request import Request

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
CONNECTIONS = 256
PIECE = 64 << 10
CONDITIONS = frozenset({"if-none-match", "if-modified-since"})

Counted = Callable[[int, bool], None]
"""Told of each answer: its status, and whether the request carried a credential."""


class Answer:
    """An aiohttp response as `cache.upstream.Response`."""

    def __init__(self, response: aiohttp.ClientResponse, release: Callable[[], None]) -> None:
        self.status = response.status
        self.pairs = [(n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in response.raw_headers]
        self.headers: dict[str, str] = {}
        for name, value in self.pairs:
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        self._response = response
        self._release = release
        self._read = b""
        self._inflate = zlib.decompressobj(wbits=31) if self.headers.get("content-encoding") == "gzip" else None

    async def read(self, limit: int) -> bytes | None:
        """See `cache.upstream.Response.read`."""
        pieces: list[bytes] = []
        size = 0
        async for piece in self._decoded():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                self._read = b"".join(pieces)
                return None
        return b"".join(pieces)

    async def stream(self) -> AsyncIterator[bytes]:
        """See `cache.upstream.Response.stream`."""
        if self._read:
            first, self._read = self._read, b""
            yield first
        async for piece in self._decoded():
            yield piece

    async def raw(self) -> AsyncIterator[bytes]:
        """The body as it came over the wire, content coding and all."""
        try:
            async for piece in self._response.content.iter_chunked(PIECE):
                yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UpstreamError(_sentence("broke off its answer", error)) from error

    async def _decoded(self) -> AsyncIterator[bytes]:
        if self._inflate is None:
            async for piece in self.raw():
                yield piece
            return
        inflate = self._inflate
        try:
            async for piece in self.raw():
                data = piece
                while data:
                    # In bounded steps: a small answer may unpack to a very large one.
                    if out := inflate.decompress(data, PIECE * 4):
                        yield out
                    data = inflate.unconsumed_tail
            if tail := inflate.flush():
                yield tail
        except zlib.error as error:
            raise UpstreamError("GitHub's answer is not the gzip it claims to be") from error
        if not inflate.eof and self.status not in (204, 304):
            raise UpstreamError("GitHub's answer ended before its gzip did")

    async def close(self) -> None:
        """See `cache.upstream.Response.close`."""
        self._response.release() if self._response.content.is_eof() else self._response.close()
        self._release()


class HttpUpstream:
    """Asks GitHub over HTTP; also passes through what is not the cache's business."""

    def __init__(self, upstreams: Upstreams, version: str, counted: Counted) -> None:
        self._upstreams = upstreams
        self._agent = upstream_user_agent(version)
        self._counted = counted
        self._places: OrderedDict[str, asyncio.Semaphore] = OrderedDict()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=True,  # self-hosted runners reach GitHub through the proxy their environment names
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            max_line_size=64 << 10,
            max_field_size=64 << 10,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    def api_url(self, target: str) -> str:
        """The URL of an API target (origin-form, without layout prefix)."""
        if target.partition("?")[0] == "/graphql":
            return self._upstreams.graphql + target.removeprefix("/graphql")
        return self._upstreams.api + target

    async def fetch(self, request: Request, conditions: Mapping[str, str]) -> Answer:
        """See `cache.upstream.Upstream.fetch`."""
        headers = [
            (name, value)
            for name, value in request.headers.items()
            if name not in CONDITIONS and name not in ("user-agent", "accept-encoding", "host", "content-length")
        ]
        own_hops = hop_by_hop(request.headers)
        headers = [(name, value) for name, value in headers if name not in own_hops]
        headers += [*conditions.items(), ("user-agent", self._agent), ("accept-encoding", "gzip")]
        body = request.body or None
        return await self.send(request.method, self.api_url(request.target), headers, body)

    async def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> Answer:
        """Send one request and return when the head of the answer is here.

        Raises:
            UpstreamError: there is none.
        """
        if self._session is None:
            raise UpstreamError("the gateway is shutting down")
        credential = next((value for name, value in headers if name == "authorization"), "")
        place = self._place(credential)
        try:
            async with asyncio.timeout(READ_SECONDS):
                await place.acquire()
        except TimeoutError as error:
            raise UpstreamError(f"{quota.MAX_CONCURRENT} requests of this token wait for GitHub already") from error
        try:
            response = await self._session.request(
                method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
            )
        except BaseException as error:
            place.release()
            if isinstance(error, (aiohttp.ClientError, TimeoutError, OSError, ValueError)):
                raise UpstreamError(_sentence(f"at {urlsplit(url).hostname} cannot be reached", error)) from error
            raise
        self._counted(response.status, bool(credential))
        return Answer(response, _once(place.release))

    def _place(self, credential: str) -> asyncio.Semaphore:
        """GitHub allows 100 concurrent requests (docs.github.com: rate limits, secondary); one semaphore a token."""
        place = self._places.get(credential)
        if place is None:
            place = self._places[credential] = asyncio.Semaphore(quota.MAX_CONCURRENT)
            if len(self._places) > CONNECTIONS:
                self._places.popitem(last=False)
        return place


def _once(action: Callable[[], None]) -> Callable[[], None]:
    done = False

    def run() -> None:
        nonlocal done
        if not done:
            done = True
            action()

    return run


def _sentence(what: str, error: BaseException) -> str:
    """Exception texts of the HTTP client may hold whole URLs: only the kind is told, and the system's own words."""
    detail = getattr(error, "strerror", None) or type(error).__name__
    return f"GitHub {what} ({detail})"
