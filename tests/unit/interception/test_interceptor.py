"""One connection after another, with what connects made up: answered by a node, or passed by for a reason."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from p2pcache.interception import certificate
from p2pcache.interception.counts import Counts
from p2pcache.interception.interceptor import STUCK, Answering, Interceptor, Seconds
from p2pcache.interception.processes import UnknownPeerError
from p2pcache.interception.programs import Process
from p2pcache.interception.socket_owner import Address
from tests.support.client_hellos import hello

HOST = "api.github.com"
SIGNED, KEY = certificate.issue([HOST], certificate.HOSTED_LIFE)
NODE = Process("node20", go=False, environ={"NODE_EXTRA_CA_CERTS": "/ours.pem"}, arguments=("node",))
GOOD = hello(HOST, ["http/1.1"])
ANSWER, PASSED = b"from the node", b"from GitHub: "


@dataclass
class Peer:
    """What connects, as the test has it."""

    process: Process | Exception = NODE
    hangs: threading.Event | None = None

    def of(self, _peer: Address, _own: Address, /) -> Process:
        if self.hangs:
            self.hangs.wait(30)
        if isinstance(self.process, Exception):
            raise self.process
        return self.process


@dataclass
class Lab:
    interceptor: Interceptor
    peer: Peer
    counts: Counts
    node: asyncio.Server
    folder: Path
    server: asyncio.Server
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def connected(self) -> socket.socket:
        """A client's socket, of which the other end is being served."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname(), 20)
            accepted, _ = listener.accept()
        client.setblocking(False)
        accepted.setblocking(False)
        self.tasks.append(asyncio.ensure_future(self._served(accepted)))
        return client

    async def _served(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError):
            await self.interceptor.serve(accepted, HOST, self.dial)
            return
        accepted.close()

    async def dial(self) -> socket.socket:
        opened = socket.socket()
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, self.server.sockets[0].getsockname())
        return opened

    async def passed_by(self, said: bytes = GOOD, *, ends: bool = False) -> dict[str, dict[str, int]]:
        """Say something, and see that the other end of a tunnel hears just that; return what was counted."""
        with self.connected() as client:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, said)
            if ends:
                client.shutdown(socket.SHUT_WR)
            answer = b""
            while len(answer) < len(PASSED + said):
                piece = await asyncio.wait_for(loop.sock_recv(client, 1 << 16), 30)
                assert piece, "it was broken off"
                answer += piece
            assert answer == PASSED + said
        await self.served()
        return self.counts.passed_by

    async def answered(self, cafile: bool = True) -> bytes:
        """Ask over TLS, trusting our certificate or not."""
        context = ssl.create_default_context(cafile=str(self.folder / "own.pem") if cafile else None)
        client = self.connected()
        reader, writer = await asyncio.open_connection(sock=client, ssl=context, server_hostname=HOST)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        answer = await asyncio.wait_for(reader.readexactly(len(ANSWER)), 30)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        await self.served()
        return answer

    async def served(self) -> None:
        await asyncio.wait_for(asyncio.gather(*self.tasks), 30)
        self.tasks.clear()


Start = Callable[..., contextlib.AbstractAsyncContextManager[Lab]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    @contextlib.asynccontextmanager
    async def started(seconds: Seconds | None = None) -> AsyncIterator[Lab]:
        (tmp_path / "own.pem").write_bytes(SIGNED)

        async def node(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while await reader.read(1 << 16):
                    writer.write(ANSWER)
            writer.close()

        async def github(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(PASSED)
            with contextlib.suppress(OSError):
                while piece := await reader.read(1 << 16):
                    writer.write(piece)
            writer.close()

        answering = Answering(tmp_path / "s", certificate.context(SIGNED, KEY), frozenset({"/ours.pem"}))
        peer, counts = Peer(), Counts()
        lab = Lab(
            Interceptor(answering, peer, counts, seconds),
            peer,
            counts,
            await asyncio.start_unix_server(node, tmp_path / "s"),
            tmp_path,
            await asyncio.start_server(github, "127.0.0.1", 0),
        )
        try:
            yield lab
        finally:
            for task in lab.tasks:
                task.cancel()
            await asyncio.gather(*lab.tasks, return_exceptions=True)
            lab.interceptor.close()
            for each in (lab.node, lab.server):
                each.close()
                await each.wait_closed()
            await asyncio.sleep(0.01)

    return started


async def test_a_client_that_trusts_is_answered(start: Start) -> None:
    async with start() as lab:
        for _ in range(3):
            assert await lab.answered() == ANSWER
        assert (lab.counts.answered, lab.counts.passed_by, lab.counts.failed) == ({"node": 3}, {}, {})
        assert lab.interceptor.pairs == set()


OLD = ssl.create_default_context()
OLD.maximum_version = ssl.TLSVersion.TLSv1_2
OLD.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param(hello("github.com", ["http/1.1"]), "it asks for another host", id="another name"),
        pytest.param(hello(None), "it asks for another host", id="no name"),
        pytest.param(hello(HOST, ["h2"]), "it does not offer HTTP/1.1", id="h2 alone"),
        pytest.param(hello(HOST, context=OLD), "it agrees on no cipher with our certificate", id="RSA alone"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "this is no TLS", id="http"),
        pytest.param(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", "the ClientHello contradicts itself", id="broken"),
    ],
)
async def test_what_a_client_says_may_be_a_reason(start: Start, said: bytes, reason: str) -> None:
    async with start() as lab:
        (reasons,) = (await lab.passed_by(said)).values()
        assert reasons == {reason: 1}
        assert await lab.answered() == ANSWER, "and others are answered as before"


@pytest.mark.parametrize(
    ("process", "name", "reason"),
    [
        (UnknownPeerError("another user"), "unknown", "another user"),
        (ValueError("a mistake"), "unknown", "it could not be looked at"),
        (OSError(24, "Too many open files"), "unknown", "it could not be looked at"),
        (Process("java", go=False, environ={}), "java", "a program that is not known to read a variable"),
        (Process("node", go=False, environ={}), "node", "its variables do not name our certificate"),
        (
            Process("x\n::error::", go=False, environ={}),
            "x???error??",
            "a program that is not known to read a variable",
        ),
    ],
    ids=str,
)
async def test_who_a_client_is_may_be_a_reason(
    start: Start, process: Process | Exception, name: str, reason: str
) -> None:
    async with start() as lab:
        lab.peer.process = process
        assert await lab.passed_by() == {name: {reason: 1}}


async def test_a_look_that_takes_too_long_is_a_reason(start: Start) -> None:
    async with start(Seconds(look=0.1)) as lab:
        lab.peer.hangs = threading.Event()
        try:
            assert await lab.passed_by() == {"unknown": {"it could not be looked at in time": 1}}
        finally:
            lab.peer.hangs.set()


async def test_a_client_that_says_nothing_or_too_little_is_passed_by_in_time(start: Start) -> None:
    async with start(Seconds(hello=0.1)) as lab:
        with lab.connected() as silent:
            received = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(silent, 100), 30)
            assert received == PASSED
        await lab.served()
        assert await lab.passed_by(GOOD[:100]) == {"unknown": {"it says nothing": 2}}


async def test_one_that_ends_in_the_middle_is_passed_on_all_the_same(start: Start) -> None:
    async with start() as lab:
        assert await lab.passed_by(GOOD[:50], ends=True) == {"unknown": {"it broke off": 1}}


async def test_one_that_leaves_without_a_byte_is_not_counted(start: Start) -> None:
    async with start() as lab:
        lab.connected().close()
        await lab.served()
        assert lab.counts == Counts()


async def test_a_slow_client_is_waited_for(start: Start) -> None:
    async with start() as lab:
        with lab.connected() as client:
            loop = asyncio.get_running_loop()
            for at in range(0, len(GOOD), 40):
                await loop.sock_sendall(client, GOOD[at : at + 40])
                await asyncio.sleep(0.001)
            assert (await asyncio.wait_for(loop.sock_recv(client, 1 << 16), 30))[:1] == b"\x16", "a ServerHello"
        await lab.served()
        assert lab.counts.answered == {"node": 1}


async def test_where_the_node_is_gone_a_client_is_passed_by_before_tls_begins(start: Start) -> None:
    async with start() as lab:
        lab.node.close()
        await lab.node.wait_closed()
        assert await lab.passed_by() == {"node20": {"the node does not answer": 1}}
        assert lab.counts.answered == {}


async def test_while_the_node_hangs_all_are_passed_by(start: Start) -> None:
    async with start() as lab:
        lab.interceptor.node_answers = False
        assert await lab.passed_by() == {"node20": {"the node does not answer": 1}}
        lab.interceptor.node_answers = True
        await lab.served()


async def test_once_the_cache_has_ended_all_are_passed_by(start: Start) -> None:
    async with start() as lab:
        lab.interceptor.passing = True
        assert await lab.passed_by() == {"node20": {"the cache has ended": 1}}


async def test_who_does_not_take_the_certificate_is_passed_by_from_then_on(start: Start) -> None:
    async with start() as lab:
        with pytest.raises(ssl.SSLCertVerificationError):
            await lab.answered(cafile=False)
        await lab.served()
        assert lab.counts.failed == {"node20": 1}
        context = ssl.create_default_context()
        assert await lab.passed_by(hello(HOST, context=context)) == {
            "node20": {"it did not take our certificate before": 1}
        }
        lab.peer.process = Process("node", go=False, environ=NODE.environ)
        assert await lab.answered() == ANSWER, "another program may"


async def test_a_finished_handshake_without_a_byte_counts_as_distrust(start: Start) -> None:
    async with start() as lab:
        context = ssl.create_default_context(cafile=str(lab.folder / "own.pem"))
        _, writer = await asyncio.open_connection(sock=lab.connected(), ssl=context, server_hostname=HOST)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        await lab.served()
        assert lab.counts.failed == {"node20": 1}
        assert lab.interceptor.pairs == set()


async def test_looks_that_never_end_hold_up_no_other(start: Start) -> None:
    async with start(Seconds(look=0.05)) as lab:
        hanging = threading.Event()
        try:
            for _ in range(STUCK - 1):
                lab.peer.hangs = hanging
                await lab.passed_by()
                lab.peer.hangs = None
            assert await lab.answered() == ANSWER
            lab.peer.hangs = hanging
            await lab.passed_by()
            lab.peer.hangs = None
            reasons = (await lab.passed_by())["unknown"]
            assert reasons == {"it could not be looked at in time": STUCK, "too many could not be looked at in time": 1}
        finally:
            hanging.set()


async def test_a_handshake_that_stops_is_given_up(start: Start) -> None:
    async with start(Seconds(handshake=0.1)) as lab:
        with lab.connected() as client:
            await asyncio.get_running_loop().sock_sendall(client, GOOD)
            await lab.served()
        assert lab.counts.failed == {"node20": 1}


async def test_where_github_is_not_to_be_reached_the_client_learns_it_at_once(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start() as lab:
        lab.peer.process = UnknownPeerError("another user")

        async def fail() -> socket.socket:
            raise OSError(113, "No route to host")

        monkeypatch.setattr(lab, "dial", fail)
        with lab.connected() as client:
            await asyncio.get_running_loop().sock_sendall(client, GOOD)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 10), 30) == b""


async def test_a_connection_that_is_cancelled_leaves_nothing_open(start: Start) -> None:
    async with start() as lab:
        lab.peer.process = UnknownPeerError("another user")
        with lab.connected() as client:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, GOOD)
            assert await asyncio.wait_for(loop.sock_recv(client, 5), 30)
            lab.tasks[0].cancel()
            with contextlib.suppress(ConnectionResetError):
                while await asyncio.wait_for(loop.sock_recv(client, 1 << 16), 30):
                    pass
        assert lab.interceptor.pairs == set()
