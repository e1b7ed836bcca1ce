"""Listening sockets and the server that answers on them: uvicorn on uvloop, embedded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from p2pcache.gateway.app import Gateway
from p2pcache.gateway.hot import Hot
from p2pcache.gateway.keeper import Adopted, Keeper, State
from p2pcache.gateway.protocol import GatewayProtocol

BACKLOG = 1024
CONNECTIONS = 4096
SHUTDOWN_SECONDS = 5
KEEP_ALIVE_SECONDS = 75
_SENTENCE = (
    b'{"message":"p2pcache: the cache was restarted while this write was under way; GitHub may have carried it out: '
    b'look before you repeat it."}'
)
_UNKNOWN_FATE = (
    b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n"
    b"cache-status: p2pcache; fwd=method; detail=restarted\r\n\r\n%b" % (len(_SENTENCE), _SENTENCE)
)


class ListenError(Exception):
    """An address that cannot be listened on: one sentence."""


def listen_tcp(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    Raises:
        ListenError: the address is taken, foreign or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ListenError(f"--listen {host}:{port}: {reason}; name another port, or 0 for any free one") from None
    return listener


def listen_unix(path: Path) -> socket.socket:
    """A listening unix socket at `path`, for every user of this machine: a job container's steps have another uid.

    A socket file that nobody answers on is a dead node's and is replaced.

    Raises:
        ListenError: somebody answers there, or the path cannot be used.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if not stat.S_ISSOCK(path.stat().st_mode):
                raise ListenError(f"--socket {path}: there is a file that is not a socket; name another path")
            if _answers(path):
                raise ListenError(f"--socket {path}: another node answers there; stop it or name another path")
            path.unlink()
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(f"--socket {path}: {error.strerror}; name a path that can be written") from None
    except ListenError:
        listener.close()
        raise
    return listener


def inherit(descriptor: int) -> socket.socket:
    """A listener that the supervisor opened.

    Raises:
        ListenError: the descriptor is not a socket.
    """
    try:
        return socket.socket(fileno=os.dup(descriptor))
    except OSError as error:
        raise ListenError(f"fd:{descriptor} is not an inherited socket ({error.strerror})") from None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


class Server:
    """uvicorn, serving one gateway on several sockets."""

    def __init__(self, gateway: Gateway, hot: Hot, keeper: Keeper | None = None) -> None:
        # uvicorn makes a protocol a connection from this class alone; its instances share the one gateway's hits.
        protocol = type("Connection", (GatewayProtocol,), {"hot": hot, "keeper": keeper})
        self._keeper = keeper
        config = uvicorn.Config(
            gateway,  # type: ignore[arg-type]  # its own narrower types for the same ASGI messages
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
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # the gateway says what went wrong, once
        self._server = _Quiet(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on `sockets`; returns once requests are answered."""
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
            made: GatewayProtocol = config.http_protocol_class(config, server.server_state, server.lifespan.state)  # type: ignore[assignment,call-arg,arg-type]
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
    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Nothing is captured."""
        yield
