"""A node in the test's own event loop, on real sockets, in front of the stand-in GitHub or of a scripted upstream."""

import asyncio
import re
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
import pytest

from p2pcache.node import Node
from p2pcache.settings import Listen, Secret, Settings
from p2pcache.testing import StandIn

TOKEN = "ghp_reader"
LIMIT = 10.0
"""Seconds that anything in these tests may take."""


@dataclass
class Reply:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


class Raw:
    """A client that sends exactly the bytes it is given."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, *, head=False):
        """The next answer, whole."""
        async with asyncio.timeout(LIMIT):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status = int(re.match(r"HTTP/1\.1 (\d+) ", text)[1])
            lines = [line.partition(": ") for line in text.split("\r\n")[1:] if line]
            headers = {name.lower(): value for name, _, value in lines}
            if head or status in (204, 304):
                body = b""
            elif headers.get("transfer-encoding") == "chunked":
                body = await self._chunks()
            else:
                body = await self.reader.readexactly(int(headers["content-length"]))
            return Reply(status, headers, body)

    async def _chunks(self):
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return body

    async def ended(self):
        """Wait until the other side has ended the connection; what it still sent."""
        async with asyncio.timeout(LIMIT):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


@asynccontextmanager
async def connect(node):
    reader, writer = await asyncio.open_unix_connection(str(node.socket))
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


async def ask(node, raw):
    """One connection, one request, one answer."""
    async with connect(node) as client:
        await client.send(raw)
        return await client.reply(head=raw.startswith(b"HEAD"))


def get(target, *lines, host="api.github.com", method="GET"):
    """A request as bytes, by a known token."""
    fields = [f"Host: {host}", f"Authorization: token {TOKEN}", *lines]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *fields, "", ""]).encode()


@asynccontextmanager
async def running(upstream, directory, **settings):
    node = Node(
        Settings(
            upstream=upstream,
            directory=directory,
            socket=directory / "s",
            p2p=False,
            listen=Listen(),
            token=Secret(TOKEN),
            **settings,
        )
    )
    async with node:
        yield node


@pytest.fixture
async def github():
    async with StandIn() as standin:
        standin.populate()
        standin.token(TOKEN, repos=["octo/app"])
        yield standin


@pytest.fixture
async def node(github, tmp_path):
    async with running(github.url, tmp_path) as node:
        yield node


@pytest.fixture
async def client():
    async with aiohttp.ClientSession() as session:
        yield session


class Upstream:
    """Stands where GitHub is, and answers as the test says, connection by connection."""

    def __init__(self):
        self.heads = []
        self.received = 0
        self.open = 0
        self.changed = asyncio.Event()
        self.url = ""
        self._script = None

    def answers(self, script):
        """`script(upstream, reader, writer)` is run for each request whose head has been read."""
        self._script = script

    async def serve(self, reader, writer):
        self.open += 1
        try:
            while True:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
                self.changed.set()
                await self._script(self, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            self.changed.set()
            writer.close()

    async def until(self, holds):
        async with asyncio.timeout(LIMIT):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def upstream():
    made = Upstream()
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        with suppress(asyncio.CancelledError):  # asyncio's streams would report it as an error of the server
            await made.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
