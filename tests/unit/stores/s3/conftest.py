"""A client that speaks to the egress proxy in bytes."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from p2pcache.stores.s3.egress_proxy import EgressProxy
from p2pcache.stores.s3.interception import intercepting

SECONDS = 30.0
"""Until a test that hangs fails."""


@dataclass
class ProxyClient:
    """One connection to a proxy, whose URL has a password."""

    proxy: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def authorization(self) -> str:
        """The header that the proxy asks for."""
        parts = urlsplit(self.proxy)
        return "Proxy-Authorization: Basic " + base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()

    async def send(self, line: str, *headers: str, body: bytes = b"") -> None:
        self.writer.write("\r\n".join((line, *headers, "", "")).encode() + body)
        await self.writer.drain()

    async def status(self) -> int:
        """Read an answer, and return its status; its body is dropped."""
        return (await self.answer())[0]

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read an answer with a length or in chunks: its status, headers and body."""
        async with asyncio.timeout(SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            start, *lines = head.split("\r\n")[:-2]
            headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
            if "transfer-encoding" not in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
                return int(start.split(" ")[1]), headers, body
            body = b""
            while size := int(await self.reader.readline(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
            return int(start.split(" ")[1]), headers, body

    async def get(self, url: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask for a URL, as a client of a proxy asks."""
        await self.send(f"GET {url} HTTP/1.1", f"Host: {urlsplit(url).netloc}", self.authorization, *headers)
        return await self.answer()

    async def ended(self) -> bytes:
        """Wait until the proxy ends the connection; return what came before that."""
        came = b""
        async with asyncio.timeout(SECONDS):
            try:
                while piece := await self.reader.read(1 << 16):
                    came += piece
            except ConnectionError:
                pass
        return came


@pytest.fixture(autouse=True)
def _no_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust nothing: reading the certificates of a system takes longer than a test."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context for 127.0.0.1, whose certificate this process trusts."""
    context, certificate = intercepting(["127.0.0.1"])
    (tmp_path / "trusted.pem").write_text(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    return context


async def secured(proxy: EgressProxy, client: ProxyClient, server: str) -> ProxyClient:
    """Open a tunnel to a server, and shake hands with what answers there."""
    parts = urlsplit(server)
    await client.send(f"CONNECT {parts.netloc} HTTP/1.1", client.authorization)
    async with asyncio.timeout(SECONDS):
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        context = ssl.create_default_context(cadata=proxy.certificate)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        await client.writer.start_tls(context, server_hostname=parts.hostname)
    return client


Connect = Callable[[str], Awaitable[ProxyClient]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connect to a proxy."""
    clients: list[ProxyClient] = []

    async def one(proxy: str) -> ProxyClient:
        parts = urlsplit(proxy)
        client = ProxyClient(proxy, *await asyncio.open_connection(parts.hostname, parts.port))
        clients.append(client)
        return client

    yield one
    for client in clients:
        client.writer.transport.abort()
    await asyncio.sleep(0)
