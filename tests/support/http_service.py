"""An HTTP service that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class Asked:
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]


@dataclass
class HttpService:
    """Answers by path: bytes with status 200, a status and bytes, or None, which is never."""

    url: str = ""
    answers: dict[str, object] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def of(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        asked = Asked(request.method, request.path, list(request.query.items()), dict(request.headers), body)
        self.asked.append(asked)
        answer = self.answers.get(request.path, (404, b""))
        if callable(answer):
            answer = answer(asked)
        match answer:
            case None:
                await asyncio.Event().wait()
            case bytes():
                return web.Response(body=answer)
            case (int(status), bytes(content)):
                return web.Response(status=status, body=content)
        raise AssertionError(answer)


@asynccontextmanager
async def http_service(
    answers: dict[str, object] | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[HttpService]:
    service = HttpService(answers=answers if answers is not None else {})
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", service.handle)
    server = TestServer(app, scheme="https" if tls else "http")
    await server.start_server(ssl=tls)
    service.url = str(server.make_url("")).rstrip("/")
    try:
        yield service
    finally:
        await server.close()
