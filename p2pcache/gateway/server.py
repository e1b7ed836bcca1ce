"""The server that answers on the listening sockets: uvicorn on uvloop, embedded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import Iterator, Sequence

import uvicorn

from p2pcache.gateway import adoption
from p2pcache.gateway.acceptor import Acceptor
from p2pcache.gateway.app import Gateway
from p2pcache.gateway.fast_path import FastPath
from p2pcache.gateway.keeper import Adopted, Keeper
from p2pcache.gateway.kept import KeptProtocol
from p2pcache.gateway.listen import BACKLOG, ListenError
from p2pcache.gateway.protocol import CONNECTIONS, GatewayProtocol

SHUTDOWN_SECONDS = 5
KEEP_ALIVE_SECONDS = 75
OTHER_DESCRIPTORS = 1024
"""Open files beside clients' connections: to GitHub, to peers, of the store. Half of all, where there are few."""


class Server:
    """uvicorn, serving one gateway on several sockets; with `local`, other machines get no prepared answers."""

    def __init__(self, gateway: Gateway, hot: FastPath, keeper: Keeper | None = None, *, local: bool = False) -> None:
        # uvicorn makes a protocol a connection from this class alone; its instances share the one gateway's hits.
        kind: type[GatewayProtocol] = GatewayProtocol if keeper is None else KeptProtocol
        most = _room(1 if keeper is None else 2)  # `Wire` writes through a descriptor of its own
        protocol = type("Connection", (kind,), {"hot": hot, "keeper": keeper, "most": most, "local": local})
        self._keeper = keeper
        # The gateway says what went wrong, once; uvicorn would add a traceback for every client that breaks off.
        for name in ("uvicorn", "uvicorn.error"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        config = uvicorn.Config(
            gateway,
            http=protocol,
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
        self._server = _Quiet(config)
        self._task: asyncio.Task[None] | None = None
        self._acceptor: Acceptor | None = None

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on `sockets`; returns once requests are answered.

        Raises:
            ListenError: the server stopped before that.
        """
        own = [] if self._keeper else list(sockets)
        self._task = asyncio.create_task(self._server.serve(sockets=own), name="gateway")
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()
            raise ListenError("the gateway stopped while starting")
        if self._keeper is not None:
            self._acceptor = Acceptor(sockets, self._keeper, self._protocol)

    async def adopt(self, connections: Sequence[Adopted]) -> None:
        """Take up the connections of a node that died: answer what they wait for, or end them clearly."""
        if self._keeper is not None and self._acceptor is not None:
            await adoption.adopt(self._keeper, connections, self._acceptor.take_up)

    def _protocol(self) -> KeptProtocol:
        config, server = self._server.config, self._server
        return config.http_protocol_class(config, server.server_state, server.lifespan.state)  # type: ignore[return-value,call-arg]

    async def stop(self) -> None:
        """Answer what is under way, within `SHUTDOWN_SECONDS`, and stop listening."""
        if self._acceptor is not None:
            self._acceptor.close()
        self._server.should_exit = True
        if self._task is not None:
            await self._task


def _room(each: int) -> int:
    """How many clients may be connected, with `each` open files a client: none takes GitHub's or a peer's."""
    limit = _allow_descriptors(CONNECTIONS * each + OTHER_DESCRIPTORS)
    return max(1, min(CONNECTIONS, (limit - min(OTHER_DESCRIPTORS, limit // 2)) // each))


def _allow_descriptors(wanted: int) -> int:
    """Use what the administrator allows of open files, and say how many; the usual 1024 are few for a hub."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


class _Quiet(uvicorn.Server):
    """A server that says when it answers, and leaves the process's signals to the node."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell."""
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield
