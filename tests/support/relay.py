"""A cable between two peers that a test can count on and cut."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Self


class Relay:
    """Forwards TCP from a socket that listens to a port of this machine, until `after` cuts what comes back."""

    def __init__(self, port: int, listening: socket.socket | None = None) -> None:
        self._listening = listening or socket.create_server(("127.0.0.1", 0))
        self.reached = asyncio.Event()
        self._port = port
        self._left: int | None = None
        self._then: Callable[[], object] = lambda: None
        self._work: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, sock=self._listening)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def after(self, count: int, then: Callable[[], object]) -> None:
        """When `count` more bytes came from there: `then()`, and nothing more is forwarded from there."""
        self._left, self._then = count, then

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._work.add(asyncio.create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            back, there = await asyncio.open_connection("127.0.0.1", self._port)
            ends.append(there)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward(reader, there))
                both.create_task(self._forward(back, writer, self._passes))
        finally:
            for end in ends:
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passes: Callable[[bytes], bool] = lambda data: True,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(16 << 10):
                if passes(data):
                    writer.write(data)
                    await writer.drain()
        writer.close()

    def _passes(self, data: bytes) -> bool:
        if self._left is None:
            return True
        self._left -= len(data)
        if self._left <= 0 and not self.reached.is_set():
            self.reached.set()
            self._then()
        return self._left > 0
