"""A node in another process, or on another machine, asked over HTTP: what ``p2pcache mcp`` speaks to."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import msgspec
from yarl import URL

from p2pcache.gateway.routing import Upstreams
from p2pcache.github.hosts import API_HOST
from p2pcache.hub.mcp.node_api import FIELDS, MAX_ANSWER, ApiAnswer, ApiError, too_large, upstream_address
from p2pcache.values import Secret

ANSWER_SECONDS = 55.0
"""Less than a tool may take, so that the sentence is about the node."""
PIECE = 1 << 16


class _Node(msgspec.Struct):
    upstream: str


class _Stats(msgspec.Struct):
    node: _Node


class RemoteApi:
    """A node over HTTP, for the user of this process.

    Args:
        where: the path of its unix socket, or its URL.
        token: GitHub's; None: requests are anonymous.
        control: the control token, for a node that asks for one.
    """

    def __init__(self, where: Path | str, token: Secret | None, control: Secret | None = None) -> None:
        self._where = where
        self._base = "http://localhost" if isinstance(where, Path) else where.rstrip("/")
        self._token = token
        self._control = control
        self._address: tuple[str, str] | None = None
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        connector = aiohttp.UnixConnector(str(self._where)) if isinstance(self._where, Path) else None
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    @property
    def authorised(self) -> bool:
        """Whether requests to GitHub carry a credential."""
        return self._token is not None

    async def github(self, target: str, body: bytes | None = None) -> ApiAnswer:
        """Ask GitHub's API; see `NodeApi`."""
        if self._address is None:
            self._address = await self._upstream()
        host, prefix = self._address
        fields = {**FIELDS, "host": host}
        if self._token is not None:
            fields["authorization"] = f"token {self._token.reveal()}"
        return await self._ask(prefix + target, fields, body)

    async def control(self, target: str, body: bytes | None = None) -> ApiAnswer:
        """Ask a control endpoint; see `NodeApi`."""
        fields = {} if self._control is None else {"authorization": f"Bearer {self._control.reveal()}"}
        return await self._ask(target, fields, body)

    async def _upstream(self) -> tuple[str, str]:
        stats = await self.control("/-/stats")
        try:
            return upstream_address(Upstreams(msgspec.json.decode(stats.body, type=_Stats).node.upstream))
        except msgspec.DecodeError:  # a hub on another machine shows its ledger to few
            return API_HOST, ""

    async def _ask(self, target: str, fields: dict[str, str], body: bytes | None) -> ApiAnswer:
        method = "GET" if body is None else "POST"
        if body is not None:
            fields = {**fields, "content-type": "application/json"}
        url = URL(self._base + target, encoded=True)
        try:
            async with self._session.request(method, url, headers=fields, data=body, allow_redirects=False) as response:
                gathered = bytearray()
                async for piece in response.content.iter_chunked(PIECE):
                    gathered += piece
                    if len(gathered) > MAX_ANSWER:
                        raise too_large()
                headers: dict[str, str] = {}
                for name, value in response.headers.items():
                    key = name.lower()
                    headers[key] = f"{headers[key]}, {value}" if key in headers else value
                return ApiAnswer(response.status, headers, bytes(gathered))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(f"the node at {self._where} does not answer: {type(error).__name__}") from None
