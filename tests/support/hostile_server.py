"""An HTTP server that answers as a test scripts it, byte by byte, and counts what it could send."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PIECE = 64 << 10


@dataclass
class Asked:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class HostileServer:
    """Where it listens, what it was asked, and how many bytes it could send."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0
    open: int = 0
    """Connections."""


Script = Callable[[Asked, "Sender"], Awaitable[None]]


@dataclass
class Sender:
    """Sends to one client, no faster than it takes it."""

    server: HostileServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def __call__(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)  # over TLS only a turn of the loop shows that the connection has ended
        self.server.sent += len(data)


@asynccontextmanager
async def hostile_server(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[HostileServer]:
    """Answer each request by `script`, and end whatever goes on when the test does."""
    server = HostileServer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server.open += 1
        try:
            while True:
                asked = await _request(reader)
                server.asked.append(asked)
                await script(asked, Sender(server, reader, writer))
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            server.open -= 1
            tasks.discard(task)
            writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    server.url = f"http{'s' if tls else ''}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # a connection is lost in the next turn of the loop, and over TLS in one more


async def _request(reader: asyncio.StreamReader) -> Asked:
    line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
    return Asked(line, headers, await reader.readexactly(int(headers.get("content-length", 0))))


async def whole(send: Sender, status: str, body: bytes, *headers: str) -> None:
    """Send an answer as it should be."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
    await send("\r\n".join(lines).encode() + body)


async def hanging(asked: Asked, send: Sender) -> None:
    """Answer nothing, until the client ends the connection."""
    await send.reader.read()


def endless_body(status: str, *headers: str) -> Script:
    """A body without end, in chunks."""

    async def answer(asked: Asked, send: Sender) -> None:
        lines = (f"HTTP/1.1 {status}", *headers, "Transfer-Encoding: chunked", "", "")
        await send("\r\n".join(lines).encode())
        while True:
            await send(b"%x\r\n" % PIECE + b"A" * PIECE + b"\r\n")

    return answer


def endless(beginning: bytes, piece: bytes) -> Script:
    """The same bytes again and again."""

    async def answer(asked: Asked, send: Sender) -> None:
        await send(beginning)
        while True:
            await send(piece)

    return answer


def redirect(status: str, location: str) -> Script:
    """A redirect to another place."""

    async def answer(asked: Asked, send: Sender) -> None:
        await whole(send, status, b"", f"Location: {location}")

    return answer
