"""What goes through is not gathered: the node's memory does not grow with it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.gateway import Upstream

from .conftest import LIMIT, connect, get

MIB = 1 << 20
SIZE = 64 * MIB
ROOM = 16 * MIB
"""What a transfer may cost: buffers of two connections, and what the allocator does with them."""


class Process:
    def __init__(self, pid: int, socket: str) -> None:
        self.pid, self.socket = pid, socket

    def reset_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def memory(self, field: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(field))


@asynccontextmanager
async def node(url: str, home: Path) -> AsyncIterator[Process]:
    ready = home / "ready.json"
    flags = ["--no-p2p", "--upstream", url, "--dir", str(home), "--socket", str(home / "s"), "--ready-file", str(ready)]
    environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "p2pcache", "serve", *flags, env=environ)
    try:
        async with asyncio.timeout(30):
            while not ready.exists():  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(0.02)
        yield Process(process.pid, json.loads(ready.read_text())["socket"])
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("target", ["/graphql", "/repos/octo/app/labels"])
async def test_an_upload(upstream: Upstream, tmp_path: Path, target: str) -> None:
    async def swallow(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while upstream.received < SIZE:
            upstream.received += len(await reader.read(1 << 18))
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    upstream.answers(swallow)
    async with node(upstream.url, tmp_path) as process, connect(process) as client:
        process.reset_peak()
        before = process.memory("VmRSS")
        await client.send(get(target, f"Content-Length: {SIZE}", method="POST"))
        for _ in range(SIZE // MIB):
            await client.send(b"x" * MIB)
        assert (await client.reply()).status == 201
        assert upstream.received == SIZE
        assert process.memory("VmHWM") - before < ROOM


@pytest.mark.parametrize("target", ["/repos/octo/app/tarball", "/repos/octo/app"], ids=["passed", "too large to keep"])
async def test_a_download(upstream: Upstream, tmp_path: Path, target: str) -> None:
    async def give(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % SIZE)
        for _ in range(SIZE // MIB):
            writer.write(b" " * MIB)
            await writer.drain()

    upstream.answers(give)
    async with node(upstream.url, tmp_path) as process, connect(process) as client:
        process.reset_peak()
        before = process.memory("VmRSS")
        await client.send(get(target))
        async with asyncio.timeout(LIMIT * 3):
            await client.reader.readuntil(b"\r\n\r\n")
            left = SIZE
            while left > 0:  # in chunks, it is a little more
                piece = await client.reader.read(MIB)
                assert piece, f"{left} bytes are missing"
                left -= len(piece)
        # What may be kept is gathered up to its bound of 8 MiB, and for a moment once more as one piece.
        assert process.memory("VmHWM") - before < ROOM + 16 * MIB
