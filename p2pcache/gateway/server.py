"""The server that answers on the listening sockets: uvicorn on uvloop, embedded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import Iterator, Sequence

import uvicorn

from p2pcache.gateway.app import Gateway
from p2pcache.gateway.hot import Hot
from p2pcache.gateway.keeper import Adopted, Keeper, State
from p2pcache.gateway.listen import BACKLOG, ListenError
from p2pcache.gateway.protocol import CONNECTIONS, GatewayProtocol

SHUTDOWN_SECONDS = 5
KEEP_ALIVE_SECONDS = 75
OTHER_DESCRIPTORS = 1024
"""Open files beside clients' connections: to GitHub, to peers, of the store."""

_SENTENCE = (
    b'{"message":"p2pcache: the cache was restarted while this write was under way; GitHub may have carried it out: '
    b'look before you repeat it."}'
)
_UNKNOWN_FATE = (
    b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n"
    b"cache-status: p2pcache; fwd=method; detail=restarted\r\n\r\n%b" % (len(_SENTENCE), _SENTENCE)
)


class Server:
    """uvicorn, serving one gateway on several sockets."""

    def __init__(self, gateway: Gateway, hot: Hot, keeper: Keeper | None = None) -> None:
        # uvicorn makes a protocol a connection from this class alone; its instances share the one gateway's hits.
        protocol = type("Connection", (GatewayProtocol,), {"hot": hot, "keeper": keeper})
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

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on `sockets`; returns once requests are answered.

        Raises:
            ListenError: the server stopped before that.
        """
        _allow_descriptors(CONNECTIONS + OTHER_DESCRIPTORS)
        self._task = asyncio.create_task(self._server.serve(sockets=list(sockets)), name="gateway")
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()
            raise ListenError("the gateway stopped while starting")

    async def adopt(self, connections: Sequence[Adopted]) -> None:
        """Take up the connections of a node that died: answer what they wait for, or end them clearly."""
        if self._keeper is None:
            return
        for adopted in connections:
            if adopted.state in (State.IDLE, State.ASKED):
                await self._take_up(adopted)
                continue
            if adopted.state is State.WRITING:
                with contextlib.suppress(OSError):
                    adopted.connection.send(_UNKNOWN_FATE)
            with contextlib.suppress(OSError):
                adopted.connection.shutdown(socket.SHUT_RDWR)
            adopted.connection.close()
            self._keeper.let_go(adopted.slot)

    async def _take_up(self, adopted: Adopted) -> None:
        def protocol() -> GatewayProtocol:
            config, server = self._server.config, self._server
            made: GatewayProtocol = config.http_protocol_class(config, server.server_state, server.lifespan.state)  # type: ignore[assignment,call-arg]
            made.slot = adopted.slot
            return made

        adopted.connection.setblocking(False)
        _, made = await asyncio.get_running_loop().connect_accepted_socket(protocol, adopted.connection)
        if adopted.received:
            made.data_received(adopted.received)

    async def stop(self) -> None:
        """Answer what is under way, within `SHUTDOWN_SECONDS`, and stop listening."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


def _allow_descriptors(wanted: int) -> None:
    """Use what the administrator allows of open files; the usual 1024 are few for a hub."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


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
