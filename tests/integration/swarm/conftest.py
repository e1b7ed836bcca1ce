"""Members in processes of their own, over real libp2p on loopback, and an upstream that counts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

MEMBER = Path(__file__).with_name("member.py")


class Member:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.peer = ""
        self.addresses: list[str] = []

    async def tell(self, do: str, **how: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"do": do} | how).encode() + b"\n")
        await self.process.stdin.drain()

    async def hear(self) -> Any:
        assert self.process.stdout
        line = await asyncio.wait_for(self.process.stdout.readline(), 50)
        assert line, "the member died"
        heard = json.loads(line)
        assert "error" not in heard, heard["error"]
        return heard.get("answer")

    async def do(self, do: str, **how: Any) -> Any:
        await self.tell(do, **how)
        return await self.hear()

    async def start(self, **spec: Any) -> None:
        [[self.peer, *self.addresses], *_] = await self.do("start", **spec)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        await self.process.wait()


class Upstream:
    """Answers each name with bytes of its own, after a while, and counts."""

    def __init__(self, latency: float = 0.1) -> None:
        self.calls: list[str] = []
        self.latency = latency
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = await reader.readexactly(32)
        self.calls.append(name.hex())
        await asyncio.sleep(self.latency)
        writer.write(name * 100)
        writer.write_eof()
        writer.close()


class Fleet:
    """Starts members; all are gone at the end of the test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.members: list[Member] = []

    async def spawn(self, prefix: tuple[str, ...] = (), **spec: Any) -> Member:
        folder = self.directory / str(len(self.members))
        folder.mkdir()
        process = await asyncio.create_subprocess_exec(
            *prefix,
            sys.executable,
            str(MEMBER),
            json.dumps({"directory": str(folder)} | spec),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            limit=1 << 22,
        )
        member = Member(process)
        self.members.append(member)
        return member

    async def start(self, *members: Member, **spec: Any) -> None:
        """As simultaneously as pipes allow."""
        await asyncio.gather(*(member.hear() for member in members))
        await asyncio.gather(*(member.start(**spec) for member in members))

    async def of(self, size: int, **spec: Any) -> tuple[Member, list[Member]]:
        """A hub and `size` members connected to it."""
        members = [await self.spawn(**spec) for _ in range(size)]
        hub = await self.spawn(hub=True, **spec)
        await self.start(hub)
        await self.start(*members, bootstrap=hub.addresses)
        assert all(await asyncio.gather(*(member.do("connected") for member in members)))
        return hub, members


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    made = Fleet(tmp_path)
    try:
        yield made
    finally:
        await asyncio.gather(*(member.kill() for member in made.members))
        for member in made.members:
            member.process._transport.close()  # type: ignore[attr-defined]  # asyncio would warn of it later


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream()
    server = await made.start()
    yield made
    server.close()
