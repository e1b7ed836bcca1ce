"""Connections taken from a listener, each handled by itself, and no more at once than there are descriptors for."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Awaitable, Callable

CONNECTIONS = 640
"""Further ones wait in the listener."""
_DESCRIPTORS, _OTHERS = 3, 64
"""Of a connection at most, and of everything else."""
PAUSE_SECONDS = 0.5

log = logging.getLogger(__name__)


def places() -> int:
    """Return how many connections there may be at once, by the descriptors that this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(CONNECTIONS, (soft - _OTHERS) // _DESCRIPTORS))


async def accept(
    listener: socket.socket, handle: Callable[[socket.socket], Awaitable[None]], places: asyncio.Semaphore
) -> None:
    """Accept for ever, as many at once as there are `places`; an error ends one connection, and no other."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()
    listener.setblocking(False)
    try:
        while True:
            await places.acquire()
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                places.release()
                log.warning("no connection can be taken for now: %s", error.strerror)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            task = loop.create_task(_handled(handle, connection))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(lambda _: places.release())
    finally:
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _handled(handle: Callable[[socket.socket], Awaitable[None]], connection: socket.socket) -> None:
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await handle(connection)
    except (OSError, TimeoutError) as error:
        log.info("a connection ended: %s", getattr(error, "strerror", None) or type(error).__name__)
        connection.close()
    except Exception:
        log.exception("a connection ended by a mistake of ours")
        connection.close()
    except BaseException:
        connection.close()
        raise
