"""The server that answers on the listening sockets: uvicorn on uvloop, embedded."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import resource
import socket
from collections.abc import Iterator, Sequence

import uvicorn

from p2pcache.gateway.app import Gateway
from p2pcache.gateway.bounds import DEFAULT_BOUNDS, ClientBounds
from p2pcache.gateway.fast_path import FastPath
from p2pcache.gateway.listen import BACKLOG, ListenError
from p2pcache.gateway.protocol import Front, GatewayProtocol
from p2pcache.gateway.survival import Survival
from p2pcache.gateway.tls import Certificate, TlsListener

SHUTDOWN_SECONDS = 5
KEEP_ALIVE_SECONDS = 75
OTHER_DESCRIPTORS = 1024
"""Open files beside clients' connections: to GitHub, to peers, of the store. Half of all, where there are few."""


class Server:
    """uvicorn, serving one gateway on several sockets.

    Args:
        gateway: the application.
        hot: answers that stand ready.
        survival: what lets connections outlive the process, if they are to.
        bounds: what a client may take.
        local: other machines get no prepared answers.
    """

    def __init__(
        self,
        gateway: Gateway,
        hot: FastPath,
        survival: Survival | None = None,
        bounds: ClientBounds = DEFAULT_BOUNDS,
        *,
        local: bool = False,
    ) -> None:
        self._survival = survival
        self._front: Front
        # The gateway logs what went wrong, once; uvicorn would add a traceback for every client that breaks off.
        for name in ("uvicorn", "uvicorn.error"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        config = uvicorn.Config(
            gateway,
            http=lambda **_: GatewayProtocol(self._front),  # type: ignore[arg-type]  # called, nothing else
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        self._server = _UvicornServer(config)
        bounds = dataclasses.replace(bounds, connections=_room(bounds.connections))
        self._front = Front(self._server, hot, bounds, local)
        self._task: asyncio.Task[None] | None = None
        self._tls: TlsListener | None = None

    async def start(
        self, sockets: Sequence[socket.socket], tls: tuple[socket.socket, Certificate] | None = None
    ) -> None:
        """Serve on `sockets`, and by TLS on that of `tls`; return once requests are answered.

        Raises:
            ListenError: the server stopped before that.
        """
        own = [] if self._survival else list(sockets)
        self._task = asyncio.create_task(self._server.serve(sockets=own), name="gateway")
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()
            raise ListenError("the gateway stopped while starting")
        if self._survival is not None:
            await self._survival.start(sockets, self._front)
        if tls is not None:
            listener, certificate = tls
            seconds = self._front.bounds.head_seconds
            self._tls = TlsListener(listener, certificate, lambda: GatewayProtocol(self._front), seconds)
            self._tls.start()

    async def stop(self) -> None:
        """Answer what is under way, within `SHUTDOWN_SECONDS`, and stop listening."""
        if self._survival is not None:
            self._survival.close()
        if self._tls is not None:
            await self._tls.stop()
        self._server.leave()
        if self._task is not None:
            await self._task


def _room(clients: int) -> int:
    """Return how many of so many clients may be connected, so that none takes GitHub's or a peer's open file."""
    limit = _allow_descriptors(clients + OTHER_DESCRIPTORS)
    return max(1, min(clients, limit - min(OTHER_DESCRIPTORS, limit // 2)))


def _allow_descriptors(wanted: int) -> int:
    """Raise the limit of open files as far as allowed, and return it; the usual 1024 are few for a hub."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    except (ValueError, OSError):  # macOS has a lower bound than the hard limit says
        return soft
    return limit


class _UvicornServer(uvicorn.Server):
    """A server that sets `ready` when it answers, waits for its end without polling, and captures no signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Answer what is under way, and stop."""
        self.should_exit = True
        self._leaving.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then set `ready`."""
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Wait for `leave`; uvicorn looks ten times a second whether it is to stop, or to write another date."""
        await self.on_tick(0)
        await self._leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and wait for the connections; uvicorn waits for a tenth of a second even without any."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(0)  # uvloop makes a connection of what it accepted in its next turn
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            await server.wait_closed()
        for each in sockets or []:
            each.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield
