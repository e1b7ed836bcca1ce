"""Connections that were led here, each looked at before it is answered: to the node, or on to where it was going.

A client that is shown a certificate it does not trust has failed. So who it is is found out first, and whatever is not
known to trust ours (any doubt, any error) gets a tunnel to the real address, in which it talks to GitHub itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from p2pcache.bounded import Bounded
from p2pcache.interception import client_hello, peer_name, programs, tunnel
from p2pcache.interception.client_hello import ClientHello, NotTlsError
from p2pcache.interception.counts import Counts, shown
from p2pcache.interception.processes import Processes, UnknownPeerError
from p2pcache.interception.programs import Process
from p2pcache.interception.socket_owner import Address
from p2pcache.interception.tunnel import Side

HELLO_SECONDS = 20.0
NODE_SECONDS = 2.0
HANDSHAKE_SECONDS = 20.0
LOOK_SECONDS = 5.0
TURNED_AWAY_SECONDS = 1.0
"""A client that ends a finished handshake within this time, without a byte, did not like the certificate (GnuTLS)."""
PEEKED = 64 << 10
DISTRUSTED = 256
CONNECTIONS = 2048
PAUSE_SECONDS = 0.5
UNKNOWN = "unknown"

log = logging.getLogger(__name__)

T = TypeVar("T")
Dial = Callable[[], Awaitable[socket.socket]]


@dataclass(frozen=True, slots=True)
class Answering:
    """What connections are answered with.

    Attributes:
        node: the unix socket of the node.
        context: our certificate.
        ours: the paths by which that is named.
    """

    node: Path
    context: ssl.SSLContext
    ours: frozenset[str]


class Interceptor:
    """Looks at connections, and answers or passes them by.

    Attributes:
        counts: what came of them.
        passing: nobody is answered any more; all are passed by.
    """

    def __init__(self, answering: Answering, processes: Processes, counts: Counts) -> None:
        self.counts = counts
        self.passing = counts.over
        self._answering = answering
        self._processes = processes
        self._distrusted: Bounded[tuple[str, str], None] = Bounded(DISTRUSTED)
        self._looks = ThreadPoolExecutor(1, "look")
        self._number = 0
        self.pairs: set[tuple[Side, Side]] = set()

    async def serve(self, connection: socket.socket, host: str, dial: Dial) -> None:
        """Answer one connection to `host`, or tunnel it to what `dial` connects to; return when it is over.

        Raises:
            OSError: the real address cannot be reached, or the client broke off.
        """
        process: Process | None = None
        hello: ClientHello | None = None
        try:
            hello = await peeked(connection, client_hello.parse, HELLO_SECONDS)
            process = await self._look(connection)
            reason = self._reason(host, hello, process)
        except (NotTlsError, UnknownPeerError) as error:
            reason = str(error)
        except TimeoutError:
            reason = "it says nothing"
        if not reason and hello and process:
            answered, reason = await self._answer(connection, hello, process)
            if answered:
                return
        self.counts.pass_by(shown(process.name) if process else UNKNOWN, reason)
        await self.tunnel(connection, await dial())

    def _reason(self, host: str, hello: ClientHello, process: Process) -> str:
        """Return why a client is passed by, empty where it is answered."""
        if self.passing:
            return "the cache has ended"
        if hello.server_name != host:
            return "it asks for another host"
        if hello.protocols and "http/1.1" not in hello.protocols:
            return "it does not offer HTTP/1.1"
        if (process.name, hello.mark) in self._distrusted:
            return "it did not take our certificate before"
        return programs.why_not(process, self._answering.ours)

    async def _look(self, connection: socket.socket) -> Process:
        peer, own = ends(connection)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(LOOK_SECONDS):
            return await loop.run_in_executor(self._looks, self._processes.of, peer, own)

    async def _answer(self, connection: socket.socket, hello: ClientHello, process: Process) -> tuple[bool, str]:
        """Return whether the connection was answered here, and why not: only before TLS has begun is there a choice."""
        kind = str(process.program)
        try:
            to_node = await self._to_node(kind)
        except (OSError, TimeoutError):
            return False, "the node does not answer"
        self.counts.answer(kind)
        back = await tunnel.side_of(to_node)
        try:
            front = await tunnel.side_of(connection, self._answering.context, HANDSHAKE_SECONDS)
        except OSError as error:  # ssl.SSLError and the timeout are: it did not like what it saw
            back.transport.close()
            connection.close()
            self._distrust(hello, process, getattr(error, "reason", None) or type(error).__name__)
            return True, ""
        shaken = time.monotonic()
        await self._until_closed(front, back)
        if not front.received and time.monotonic() - shaken < TURNED_AWAY_SECONDS:
            self._distrust(hello, process, "it left without a word")
        return True, ""

    async def _to_node(self, kind: str) -> socket.socket:
        self._number += 1
        opened = socket.socket(socket.AF_UNIX)
        try:
            opened.setblocking(False)
            opened.bind(peer_name.named(kind, f"{os.getpid():x}-{self._number:x}"))
            async with asyncio.timeout(NODE_SECONDS):
                await asyncio.get_running_loop().sock_connect(opened, str(self._answering.node))
        except BaseException:
            opened.close()
            raise
        return opened

    def _distrust(self, hello: ClientHello, process: Process, reason: str) -> None:
        self._distrusted[process.name, hello.mark] = None
        self.counts.fail(process.name)
        log.warning("%s does not take our certificate (%s): passed by from now on", shown(process.name), reason)

    async def tunnel(self, connection: socket.socket, server: socket.socket) -> None:
        """Join two connections, which belong to the pair from then on; return when both have ended."""
        near, far = await tunnel.joined(connection, server)
        await self._until_closed(near, far, join=False)

    async def _until_closed(self, near: Side, far: Side, *, join: bool = True) -> None:
        if join:
            near.join(far)
        self.pairs.add((near, far))
        try:
            await asyncio.wait([near.closed, far.closed])
        finally:
            self.pairs.discard((near, far))

    def close(self) -> None:
        """Let go of the thread that looks."""
        self._looks.shutdown(wait=False, cancel_futures=True)


async def peeked(connection: socket.socket, parse: Callable[[bytes], T | None], seconds: float) -> T:
    """Return what `parse` makes of what the client says first, all of which stays in the socket.

    Raises:
        NotTlsError: it broke off, or `parse` does not take it.
        TimeoutError: it says too little.
    """
    async with asyncio.timeout(seconds):
        wanted = 1
        try:
            while True:
                # Readable only once there is more than was seen: no waiting in a loop (socket(7), SO_RCVLOWAT).
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
                await _readable(connection)
                data = connection.recv(PEEKED, socket.MSG_PEEK)
                if (found := parse(data)) is not None:
                    return found
                if len(data) < wanted or len(data) == PEEKED:
                    raise NotTlsError("it broke off")
                wanted = len(data) + 1
        finally:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    descriptor = connection.fileno()
    loop.add_reader(descriptor, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def ends(connection: socket.socket) -> tuple[Address, Address]:
    """Return the addresses of the client and of ourselves."""
    return connection.getpeername()[:2], connection.getsockname()[:2]


async def accept(listener: socket.socket, handle: Callable[[socket.socket], Awaitable[None]]) -> None:
    """Accept for ever, `CONNECTIONS` at most at once; an error ends one connection, and no other."""
    loop = asyncio.get_running_loop()
    places = asyncio.Semaphore(CONNECTIONS)
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
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
