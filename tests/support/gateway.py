"""A node in the test's own event loop, on real sockets, in front of the stand-in GitHub or of a scripted upstream."""

import asyncio
import datetime
import ipaddress
import re
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest
from aiohttp.abc import ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from p2pcache.gateway.bounds import DEFAULT_BOUNDS, ClientBounds
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

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, *, head: bool = False) -> Reply:
        """The next answer, whole."""
        async with asyncio.timeout(LIMIT):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status = int(text.removeprefix("HTTP/1.1 ")[:3])
            lines = [line.partition(": ") for line in text.split("\r\n")[1:] if line]
            headers = {name.lower(): value for name, _, value in lines}
            if head or status in (204, 304):
                body = b""
            elif headers.get("transfer-encoding") == "chunked":
                body = await self._chunks()
            else:
                body = await self.reader.readexactly(int(headers["content-length"]))
            return Reply(status, headers, body)

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return body

    async def ended(self) -> bytes:
        """Wait until the other side has ended the connection; what it still sent."""
        async with asyncio.timeout(LIMIT):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


class Listening(Protocol):
    """A node in this process or another."""

    @property
    def socket(self) -> Path | str: ...


@asynccontextmanager
async def connect(node: Listening) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_unix_connection(str(node.socket))
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


async def ask(node: Node, raw: bytes) -> Reply:
    """One connection, one request, one answer."""
    async with connect(node) as client:
        await client.send(raw)
        return await client.reply(head=raw.startswith(b"HEAD"))


def get(target: str, *lines: str, host: str = "api.github.com", method: str = "GET") -> bytes:
    """A request as bytes, by a known token."""
    fields = [f"Host: {host}", f"Authorization: token {TOKEN}", *lines]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *fields, "", ""]).encode()


@asynccontextmanager
async def running(
    upstream: str, directory: Path, bounds: ClientBounds = DEFAULT_BOUNDS, **settings: Any
) -> AsyncIterator[Node]:
    node = Node(
        Settings(
            upstream=upstream,
            directory=directory,
            socket=directory / "s",
            p2p=False,
            listen=Listen(),
            token=Secret(TOKEN),
            **settings,
        ),
        bounds,
    )
    async with node:
        yield node


@pytest.fixture
async def github() -> AsyncIterator[StandIn]:
    async with StandIn() as standin:
        standin.populate()
        standin.token(TOKEN, repos=["octo/app"])
        yield standin


@pytest.fixture
async def node(github: StandIn, tmp_path: Path) -> AsyncIterator[Node]:
    async with running(github.url, tmp_path) as node:
        yield node


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


Script = Callable[[Any, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """Stands where GitHub is, and answers as the test says, connection by connection."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.type = ""  # for a script that gives what a test sets
        self.received = 0
        self.open = 0
        self.changed = asyncio.Event()
        self.url = ""
        self._script: Script = self._ends

    def answers(self, script: Script) -> None:
        """`script(upstream, reader, writer)` is run for each request whose head has been read."""
        self._script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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

    @staticmethod
    async def _ends(upstream: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise ConnectionAbortedError

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream()
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.CancelledError):  # asyncio's streams would report it as an error of the server
            await made.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Elsewhere(Upstream):
    """Every other server of the world: all names lead here, over TLS with a certificate that a test made."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self.asked: list[tuple[str, int]] = []
        self.trusted = ssl.create_default_context()
        self.answers(self._ok)

    @staticmethod
    async def _ok(elsewhere: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = re.search(r"content-length: (\d+)", elsewhere.heads[-1].lower())
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")

    async def lead(self, node: Node) -> None:
        """Have the node find this server under every name; addresses stay what they are."""
        elsewhere = self

        class Here(aiohttp.abc.AbstractResolver):
            async def resolve(self, host: str, port: int = 0, *_: object, **__: object) -> list[ResolveResult]:
                elsewhere.asked.append((host, port))
                place = ResolveResult(
                    hostname=host, host="127.0.0.1", port=elsewhere.port, family=socket.AF_INET, proto=0, flags=0
                )
                return [place]

            async def close(self) -> None:
                pass

        node.upstream.connector = lambda: aiohttp.TCPConnector(resolver=Here(), ssl=self.trusted)
        await node.upstream.__aexit__(None, None, None)
        await node.upstream.__aenter__()


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[Elsewhere]:
    made = Elsewhere()
    context, made.trusted = certificate(tmp_path)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


def certificate(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The TLS contexts of a server for a few names, and of who trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "GitHub of a test")])
    now = datetime.datetime.now(datetime.UTC)
    wild = ("*.githubusercontent.com", "*.github.com", "*.ghe.com", "ghe.example", "github.com")
    names = [*map(x509.DNSName, wild), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    both = directory / "tls.pem"
    both.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, ssl.create_default_context(cafile=str(both))


@asynccontextmanager
async def connect_tcp(node: Node) -> AsyncIterator[Raw]:
    """A client on the loopback: nobody knows which user that is."""
    host, _, port = node.address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


ANOTHER_USER = 65534
_SPEAK = """
import os, socket, sys
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1]); s.sendall(sys.stdin.buffer.read())
while piece := s.recv(65536): sys.stdout.buffer.write(piece)
"""


async def ask_as_another_user(node: Node, raw: bytes) -> tuple[int, bytes]:
    """What another user of this machine gets over the node's socket; needs root, to become another user."""
    for folder in (node.socket.parent, *node.socket.parent.parents):
        if folder.owner() == "root" and Path("/tmp") in folder.parents:
            folder.chmod(folder.stat().st_mode | 0o055)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", _SPEAK, str(node.socket), str(ANOTHER_USER)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT):
        answer, _ = await process.communicate(raw)
    return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]
