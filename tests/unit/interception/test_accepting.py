"""Connections are taken one after another, so many at once, and none ends another."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from p2pcache.interception import accepting

Handle = Callable[[socket.socket], Awaitable[None]]


@contextlib.asynccontextmanager
async def accepted(handle: Handle, most: int = 10) -> AsyncIterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.ensure_future(accepting.accept(listener, handle, asyncio.Semaphore(most)))
        try:
            yield listener.getsockname()
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def ended(client: socket.socket) -> None:
    client.setblocking(False)
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 30) == b""


@pytest.mark.parametrize("error", [OSError(113, "No route to host"), TimeoutError(), ValueError("a mistake")], ids=repr)
async def test_an_error_ends_one_connection_and_no_other(error: Exception) -> None:
    async def handle(_: socket.socket) -> None:
        raise error

    async with accepted(handle) as address:
        for _ in range(3):
            with socket.create_connection(address, 20) as client:
                await ended(client)


async def test_so_many_are_served_at_once_and_the_next_in_turn() -> None:
    served: asyncio.Queue[socket.socket] = asyncio.Queue()
    go_on = asyncio.Semaphore(0)

    async def handle(connection: socket.socket) -> None:
        await served.put(connection)
        await go_on.acquire()
        connection.close()

    async with accepted(handle, 2) as address:
        with contextlib.ExitStack() as opened:
            for _ in range(3):
                opened.enter_context(socket.create_connection(address, 20))
            for _ in range(2):
                await asyncio.wait_for(served.get(), 30)
            assert served.empty()
            go_on.release()
            await asyncio.wait_for(served.get(), 30)


async def test_those_that_are_served_end_with_it() -> None:
    begun = asyncio.Event()

    async def handle(_: socket.socket) -> None:
        begun.set()
        await asyncio.sleep(60)

    async with accepted(handle) as address:
        client = socket.create_connection(address, 20)
        await asyncio.wait_for(begun.wait(), 30)
    with client:
        await ended(client)


async def test_while_no_descriptor_is_left_it_waits_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "PAUSE_SECONDS", 0.01)
    loop = asyncio.get_running_loop()
    failures = iter([OSError(24, "Too many open files")] * 3)

    class Failing:
        create_task = loop.create_task

        async def sock_accept(self, listener: socket.socket) -> tuple[socket.socket, object]:
            if error := next(failures, None):
                raise error
            return await loop.sock_accept(listener)

    async def handle(connection: socket.socket) -> None:
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accept = accepting.accept(listener, handle, asyncio.Semaphore(1))
        with monkeypatch.context() as patched:
            patched.setattr(asyncio, "get_running_loop", Failing)
            task = loop.create_task(accept)
            await asyncio.sleep(0)
        with socket.create_connection(listener.getsockname(), 20) as client:
            await ended(client)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
