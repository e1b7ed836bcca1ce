"""A node that hangs is found out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2pcache.interception.heartbeat import answers, watch


async def serve(path: Path, says: bytes, gate: asyncio.Event | None = None) -> asyncio.Server:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if gate:
            await gate.wait()
        writer.write(says)
        writer.close()

    return await asyncio.start_unix_server(one, str(path))


@pytest.mark.parametrize(
    ("says", "alive"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", True), (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", True), (b"", False)],
)
async def test_whatever_it_says_it_lives(tmp_path: Path, says: bytes, alive: bool) -> None:
    async with await serve(tmp_path / "s", says):
        assert await answers(tmp_path / "s", 20.0) is alive


async def test_one_that_is_not_there_or_silent_does_not(tmp_path: Path) -> None:
    assert not await answers(tmp_path / "none", 20.0)
    gate = asyncio.Event()
    async with await serve(tmp_path / "s", b"", gate):
        assert not await answers(tmp_path / "s", 0.05)
        gate.set()


async def test_it_is_asked_again_and_again(tmp_path: Path) -> None:
    found: asyncio.Queue[bool] = asyncio.Queue()
    task = asyncio.create_task(watch(tmp_path / "s", found.put_nowait, 0.01, 20.0))
    async with asyncio.timeout(20.0):
        assert await found.get() is False
        async with await serve(tmp_path / "s", b"HTTP/1.1 200 OK\r\n\r\n"):
            while not await found.get():
                pass
    task.cancel()
