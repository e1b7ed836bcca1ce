"""Takes connections from the listening sockets and has each held before anything else happens to it.

An event loop's own server accepts in one step and calls its protocol in a later one; a node killed in between takes
the client along. Here one system call follows the other.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

from p2pcache.gateway.survival.journal import Adopted, Journal

BURST = 64
"""Connections accepted before other callbacks get their turn."""
PAUSE_SECONDS = 0.5
"""How long none is accepted when there is no descriptor for it."""

log = logging.getLogger(__name__)


class Acceptor:
    """Accepts until closed."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        journal: Journal,
        protocol: Callable[[Adopted], asyncio.Protocol],
        *,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._listeners = listeners
        self._journal = journal
        self._protocol = protocol
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._starting: set[asyncio.Task[None]] = set()
        self._closed = False
        for listener in listeners:
            listener.setblocking(False)
            self._watch(listener)

    def close(self) -> None:
        """Accept no more."""
        self._closed = True
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()

    async def serve(self, adopted: Adopted) -> bool:
        """Serve a connection that is held; False when that cannot be done any more."""
        try:
            await self._loop.connect_accepted_socket(lambda: self._protocol(adopted), adopted.connection)
        except OSError:
            return False
        return True

    def _watch(self, listener: socket.socket) -> None:
        if not self._closed:
            self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(BURST):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("no connection can be taken for now: %s", error.strerror)
                self._loop.remove_reader(listener)
                self._loop.call_later(self._pause, self._watch, listener)
                return
            slot = self._journal.hold(connection.fileno())
            connection.setblocking(False)
            task = self._loop.create_task(self._start(Adopted(slot, connection)))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self, accepted: Adopted) -> None:
        if not await self.serve(accepted):
            accepted.connection.close()
            if accepted.slot is not None:
                self._journal.let_go(accepted.slot)
