"""Members in processes of their own, over real libp2p on loopback, and an upstream that counts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

MEMBER = Path(__file__).with_name("member.py")


class Breeder:
    """A process that has imported everything and forks members; `prefix` enters where they live."""

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        self._asked, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, str(MEMBER), "--breed", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            )

    async def member(self, spec: dict[str, Any]) -> Member:
        mine, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._asked, [json.dumps(spec).encode()], [theirs.fileno()])
        pid = int(await asyncio.to_thread(self._asked.recv, 100))
        return Member(pid, *await asyncio.open_connection(sock=mine, limit=1 << 22))

    def close(self) -> None:
        self._asked.close()
        self._process.wait(20)


class Member:
    """One process."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.reader = reader
        self.writer = writer
        self.peer = ""
        self.addresses: list[str] = []

    async def tell(self, do: str, **how: Any) -> None:
        self.writer.write(json.dumps({"do": do} | how).encode() + b"\n")
        await self.writer.drain()

    async def hear(self) -> Any:
        line = await asyncio.wait_for(self.reader.readline(), 50)
        assert line, "the member died"
        heard = json.loads(line)
        assert "error" not in heard, heard["error"]
        return heard.get("answer")

    async def do(self, do: str, **how: Any) -> Any:
        await self.tell(do, **how)
        return await self.hear()

    async def start(self, **spec: Any) -> None:
        [self.peer, *self.addresses] = await self.do("start", **spec)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass
        self.writer.close()


class Upstream:
    """Answers each name with bytes of its own, after a while, and counts."""

    def __init__(self, latency: float = 0.1) -> None:
        self.calls: list[str] = []
        self.latency = latency
        self.port = 0
        self._answering: set[asyncio.Task[None]] = set()

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def settled(self) -> None:
        """Nothing is being answered any more."""
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._answer(reader, writer))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # Whoever asked may be gone, or killed by the test, before it has its answer.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                name = await reader.readexactly(32)
                self.calls.append(name.hex())
                await asyncio.sleep(self.latency)
                writer.write(name * 100)
                await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class Fleet:
    """Starts members; all are gone at the end of the test."""

    def __init__(self, directory: Path, breeder: Breeder) -> None:
        self.directory = directory
        self.members: list[Member] = []
        self._breeders: dict[tuple[str, ...], Breeder] = {(): breeder}

    async def spawn(self, prefix: tuple[str, ...] = (), **spec: Any) -> Member:
        folder = self.directory / str(len(self.members))
        folder.mkdir()
        breeder = self._breeders.get(prefix) or self._breeders.setdefault(prefix, Breeder(prefix))
        member = await breeder.member({"directory": str(folder)} | spec)
        self.members.append(member)
        return member

    async def close(self) -> None:
        await asyncio.gather(*(member.kill() for member in self.members))
        for prefix, breeder in self._breeders.items():
            if prefix:
                breeder.close()

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


@pytest.fixture(scope="session")
def breeder() -> Iterator[Breeder]:
    made = Breeder()
    yield made
    made.close()


@pytest.fixture
async def fleet(tmp_path: Path, breeder: Breeder) -> AsyncIterator[Fleet]:
    made = Fleet(tmp_path, breeder)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream()
    server = await made.start()
    yield made
    server.close()
    await made.settled()
