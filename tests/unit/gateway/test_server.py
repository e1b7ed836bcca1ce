"""How the server ends: without a timer when nobody is connected, and with an answer for those that wait."""

from __future__ import annotations

import asyncio
import resource
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvicorn.server

from p2pcache.gateway import server
from p2pcache.node import Node
from tests.support.gateway import Raw, Upstream, connect, get, running, upstream

__all__ = ["upstream"]


class Noted:
    """asyncio as uvicorn's server gets it, with a list of its sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(seconds)


async def idle(node: Node, client: Raw) -> None:
    """Use a connection once, so that the server knows it."""
    await client.send(get("/-/healthz", host=node.address.removeprefix("http://")))
    assert (await client.reply()).status == 200


async def test_an_idle_server_is_woken_by_nothing_and_stops_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = Noted()
    monkeypatch.setattr(uvicorn.server, "asyncio", noted)
    async with running("http://127.0.0.1:1", tmp_path) as node:
        pass
    with pytest.raises(FileNotFoundError):
        await asyncio.open_unix_connection(str(node.socket))
    assert noted.slept == []


async def test_who_waits_for_an_answer_gets_it_from_a_server_that_stops(tmp_path: Path, upstream: Upstream) -> None:
    go = asyncio.Event()

    async def slow(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")

    upstream.answers(slow)
    life = AsyncExitStack()
    node = await life.enter_async_context(running(upstream.url, tmp_path))
    async with connect(node) as client, connect(node) as other:
        await idle(node, other)
        await client.send(get("/repos/octo/app"))
        await upstream.until(lambda: upstream.heads)
        stopping = asyncio.create_task(life.aclose())
        assert await other.ended() == b"", "who waits for nothing is let go"
        go.set()
        assert (await client.reply()).body == b"ok"
    await stopping


def test_a_system_that_allows_fewer_open_files_than_it_says_keeps_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has `kern.maxfilesperproc` below a hard limit that is infinite."""

    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert server._allow_descriptors(4096) == 256
