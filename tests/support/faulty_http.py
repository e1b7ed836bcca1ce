"""A proxy in front of an HTTP service that a test can make slow, broken, a liar, or absent."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Literal, Self

import aiohttp
from aiohttp import web

Fault = Literal["", "slow", "cut", "flip"]
_KEPT = ("Content-Type", "Authorization", "Accept")


class FaultyHttp:
    """Passes requests on, and answers as they are, unless there is a `fault` or a `refusal`.

    A fault is of what comes back: nothing (slow), half of it (cut), with one bit changed (flip).
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._port = 0
        self.fault: Fault = ""
        self.refusal: tuple[int, bytes] | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        await self.come_back()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.go_away()
        await self._session.close()

    async def come_back(self) -> None:
        """Listen, at the same port as before."""
        self._runner = web.ServerRunner(web.Server(self._pass), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def go_away(self) -> None:
        """Refuse connections."""
        await self._runner.cleanup()

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.query)))
        if self.refusal is not None:
            status, body = self.refusal
            return web.Response(status=status, body=body)
        headers = {name: request.headers[name] for name in _KEPT if name in request.headers}
        async with self._session.request(
            request.method, f"{self._target}{request.rel_url}", headers=headers, data=await request.read()
        ) as answer:
            body, status = await answer.read(), answer.status
        match self.fault:
            case "slow":
                await asyncio.Event().wait()
            case "flip" if body:
                body = body[:-3] + bytes([body[-3] ^ 1]) + body[-2:] if len(body) > 2 else body
            case "cut" if body:
                return await self._cut(request, status, body)
        return web.Response(status=status, body=body)

    async def _cut(self, request: web.BaseRequest, status: int, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.abort()
        return response
