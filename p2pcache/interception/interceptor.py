"""Connections that were led here, each looked at before it is answered: to the node, or on to where it was going.

A client that is shown a certificate it does not trust has failed. So who it is is found out first, and whatever is not
known to trust ours (any doubt, any error) gets a tunnel to the real address, in which it talks to GitHub itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from p2pcache.bounded import Bounded
from p2pcache.interception import client_hello, peer_name, programs, tunnel
from p2pcache.interception.client_hello import ClientHello, NotTlsError
from p2pcache.interception.counts import Counts, shown
from p2pcache.interception.peeking import PEEKED, peeked
from p2pcache.interception.processes import UnknownPeerError
from p2pcache.interception.programs import Process
from p2pcache.interception.socket_owner import Address
from p2pcache.interception.tunnel import Side

DISTRUSTED = 256
STUCK = 4
"""Looks that never ended, each with a thread, after which nobody is looked at any more."""
UNKNOWN = "unknown"
_SILENT = "the node does not answer"

log = logging.getLogger(__name__)

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


class Looks(Protocol):
    """Returns what is at the other end of a connection (`Processes.of`)."""

    def of(self, peer: Address, own: Address, /) -> Process:
        """Look."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long each step of a connection may take.

    Attributes:
        hello: for a client to say what it wants.
        look: to find out who it is.
        handshake: to agree on TLS.
    """

    hello: float = 20.0
    look: float = 5.0
    handshake: float = 20.0


@dataclass(slots=True)
class _Seen:
    """What is known of a connection; `reason` why it is passed by, empty where it is answered."""

    hello: ClientHello | None = None
    process: Process | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        return shown(self.process.name) if self.process else UNKNOWN

    @property
    def kind(self) -> str:
        return str(self.process.program) if self.process else UNKNOWN


class Interceptor:
    """Looks at connections, and answers or passes them by.

    Attributes:
        counts: what came of them.
        passing: nobody is answered any more; all are passed by.
        node_answers: whether the node does, see `heartbeat`; until it does again, all are passed by.
    """

    def __init__(self, answering: Answering, processes: Looks, counts: Counts, seconds: Seconds | None = None) -> None:
        self._seconds = seconds or Seconds()
        self._agreed: Bounded[str, bool] = Bounded(DISTRUSTED)
        self.counts = counts
        self.passing = counts.over
        self.node_answers = True
        self._answering = answering
        self._processes = processes
        self._distrusted: Bounded[tuple[str, str], None] = Bounded(DISTRUSTED)
        self._looks = ThreadPoolExecutor(1, "look")
        self._number = 0
        self._stuck = 0
        self.pairs: set[tuple[Side, Side]] = set()

    async def serve(self, connection: socket.socket, host: str, dial: Dial) -> None:
        """Answer one connection to `host`, or tunnel it to what `dial` connects to; return when it is over.

        Raises:
            OSError: the real address cannot be reached, or the client broke off.
        """
        found = await self._seen(connection, host)
        if not found.reason and await self._answer(connection, found):
            return
        self.counts.pass_by(found.name, found.reason)
        await self.tunnel(connection, await dial())

    async def _seen(self, connection: socket.socket, host: str) -> _Seen:
        """Look at what connects. Any doubt and any error is a reason to pass it by.

        Raises:
            OSError: the client broke off.
        """
        found = _Seen()
        try:
            found.hello = await peeked(connection, client_hello.parse, self._seconds.hello)
            found.process = await self._look(connection)
            found.reason = self._reason(host, found.hello, found.process)
            if not found.reason and not self._agrees(connection, found.hello):
                found.reason = "it agrees on no cipher with our certificate"
        except (NotTlsError, UnknownPeerError) as error:
            found.reason = str(error)
        except TimeoutError:
            found.reason = "it says nothing" if found.hello is None else "it could not be looked at in time"
        except ConnectionError:
            raise
        except Exception:
            log.exception("a connection could not be looked at")
            found.reason = "it could not be looked at"
        return found

    def _agrees(self, connection: socket.socket, hello: ClientHello) -> bool:
        """Return whether TLS can be agreed on: tried in memory, once for each kind of client."""
        if hello.mark not in self._agreed:
            said = ssl.MemoryBIO()
            said.write(connection.recv(PEEKED, socket.MSG_PEEK))
            server = self._answering.context.wrap_bio(said, ssl.MemoryBIO(), server_side=True)
            try:
                server.do_handshake()
            except ssl.SSLWantReadError:
                self._agreed[hello.mark] = True
            except ssl.SSLError:
                self._agreed[hello.mark] = False
        return self._agreed.get(hello.mark, False)

    def _reason(self, host: str, hello: ClientHello, process: Process) -> str:
        """Return why a client is passed by, empty where it is answered."""
        if self.passing:
            return "the cache has ended"
        if not self.node_answers:
            return _SILENT
        if hello.server_name != host:
            return "it asks for another host"
        if hello.protocols and "http/1.1" not in hello.protocols:
            return "it does not offer HTTP/1.1"
        if (process.name, hello.mark) in self._distrusted:
            return "it did not take our certificate before"
        return programs.why_not(process, self._answering.ours)

    async def _look(self, connection: socket.socket) -> Process:
        if self._stuck >= STUCK:
            raise UnknownPeerError("too many could not be looked at in time")
        peer, own = ends(connection)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._seconds.look):
                return await loop.run_in_executor(self._looks, self._processes.of, peer, own)
        except TimeoutError:
            # Its thread waits for a file system that does not answer: the next is looked at in another.
            self._stuck += 1
            self._looks.shutdown(wait=False, cancel_futures=True)
            self._looks = ThreadPoolExecutor(1, "look")
            raise

    async def _answer(self, connection: socket.socket, found: _Seen) -> bool:
        """Return whether the connection was answered here: only before TLS has begun is there a choice."""
        try:
            to_node = self._to_node(found.kind)
        except OSError:
            found.reason = _SILENT
            return False
        self.counts.answer(found.kind)
        back = await tunnel.side_of(to_node)
        try:
            front = await tunnel.side_of(connection, self._answering.context, self._seconds.handshake)
        except OSError as error:  # ssl.SSLError and the timeout are: it did not like what it saw
            back.abort()
            connection.close()
            self._distrust(found, getattr(error, "reason", None) or type(error).__name__)
            return True
        except BaseException:
            back.abort()
            raise
        front.join(back)
        await self._until_closed(front, back)
        if (
            not front.received
        ):  # however late: it looked at the certificate (GnuTLS, and programs that do it themselves)
            self._distrust(found, "it left without a word")
        return True

    def _to_node(self, kind: str) -> socket.socket:
        self._number += 1
        opened = socket.socket(socket.AF_UNIX)
        try:
            opened.setblocking(False)
            opened.bind(peer_name.named(kind, f"{os.getpid():x}-{self._number:x}"))
            opened.connect(str(self._answering.node))  # at once, or not at all (unix(7))
        except BaseException:
            opened.close()
            raise
        return opened

    def _distrust(self, found: _Seen, reason: str) -> None:
        if found.hello and found.process:
            self._distrusted[found.process.name, found.hello.mark] = None
        self.counts.fail(found.name)
        log.warning("%s does not take our certificate (%s): passed by from now on", found.name, reason)

    async def tunnel(self, connection: socket.socket, server: socket.socket) -> None:
        """Join two connections, which belong to the pair from then on; return when both have ended."""
        near, far = await tunnel.joined(connection, server)
        await self._until_closed(near, far)

    async def _until_closed(self, near: Side, far: Side) -> None:
        self.pairs.add((near, far))
        try:
            await asyncio.wait([near.closed, far.closed])
        except BaseException:
            near.abort()
            far.abort()
            raise
        finally:
            self.pairs.discard((near, far))

    def close(self) -> None:
        """Let go of the thread that looks."""
        self._looks.shutdown(wait=False, cancel_futures=True)


def ends(connection: socket.socket) -> tuple[Address, Address]:
    """Return the addresses of the client and of ourselves."""
    return connection.getpeername()[:2], connection.getsockname()[:2]
