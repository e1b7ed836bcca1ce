"""Takes connections from the listening sockets and has each held before anything else happens to it.

An event loop's own server accepts in one step and tells its protocol in a later one; a node killed in between takes
the client along. Here one system call follows the other.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

from p2pcache.gateway.keeper import Adopted, ConnectionState, Keeper
from p2pcache.gateway.kept import KeptProtocol

BURST = 64
"""Connections taken before the others get their turn."""
PAUSE_SECONDS = 0.5
"""For how long none is taken when there is no descriptor for it."""

log = logging.getLogger(__name__)


class Acceptor:
    """Accepts until closed."""

    def __init__(
        self, listeners: Sequence[socket.socket], keeper: Keeper, protocol: Callable[[], KeptProtocol]
    ) -> None:
        self._listeners = listeners
        self._keeper = keeper
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._under_way: set[asyncio.Task[None]] = set()
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

    async def take_up(self, adopted: Adopted) -> bool:
        """Serve a connection that is held; False when that cannot be done any more."""

        def made() -> KeptProtocol:
            taken = self._protocol()
            taken.adopted = adopted
            return taken

        try:
            await self._loop.connect_accepted_socket(made, adopted.connection)
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
                self._loop.call_later(PAUSE_SECONDS, self._watch, listener)
                return
            slot = self._keeper.hold(connection.fileno())
            connection.setblocking(False)
            task = self._loop.create_task(self._serve(Adopted(slot, connection, ConnectionState.IDLE)))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _serve(self, accepted: Adopted) -> None:
        if not await self.take_up(accepted):
            accepted.connection.close()
            if accepted.slot is not None:
                self._keeper.let_go(accepted.slot)
