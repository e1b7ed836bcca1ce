"""Connections served from the journal: what it says at each step, and what becomes of what a dead node left in it."""

import asyncio
import contextlib
import mmap
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
import uvicorn

from p2pcache.gateway.fast_path import FastPath
from p2pcache.gateway.protocol import Front
from p2pcache.gateway.survival import takeover
from p2pcache.gateway.survival.acceptor import Acceptor
from p2pcache.gateway.survival.held_connection import DRAIN_CHECK_SECONDS, HeldConnection
from p2pcache.gateway.survival.journal import MEMORY_BYTES, SLOT_BYTES, Adopted, ConnectionState, Journal

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""A client's reader and writer."""

GET = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
BIG = b"z" * (8 << 20)


class Cold:
    """Two answers stand ready."""

    def answer(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
        body = {b"/hot": b"hot", b"/hot-and-big": BIG}.get(url)
        return (b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body), body) if body else None


class Site:
    """A node's front: /wait answers when told, /echo repeats a body, /big is more than a socket holds."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.clients: list[Ends] = []
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.theirs = theirs
        self.memory = mmap.mmap(-1, MEMORY_BYTES)
        self.journal = Journal(theirs, self.memory)
        self.go = asyncio.Event()
        self.waiting = asyncio.Event()
        config = uvicorn.Config(self.app, interface="asgi3", log_config=None, lifespan="off", proxy_headers=False)
        server = uvicorn.Server(config)
        self.connections = server.server_state.connections
        config.load()
        front = Front(server, cast("FastPath", Cold()))
        self.acceptor = Acceptor(
            [self.listener], self.journal, lambda adopted: HeldConnection(self.journal, adopted, front), pause=0.0
        )

    async def app(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        body = body or scope["path"].encode()
        if scope["path"] == "/wait":
            self.waiting.set()
            await self.go.wait()
        if scope["path"] == "/write":
            scope["extensions"]["unsafe"]()
            self.waiting.set()
            await self.go.wait()
        body = BIG if scope["path"] == "/big" else body
        scope["extensions"]["answering"]()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    def state(self, slot: int = 0) -> ConnectionState:
        return ConnectionState(self.memory[slot * SLOT_BYTES])

    async def until(self, state: ConnectionState) -> None:
        async with asyncio.timeout(10):
            while self.state() is not state:  # noqa: ASYNC110 - memory that tells nobody when it changes
                await asyncio.sleep(0.001)

    async def client(self) -> Ends:
        return await self.opened(host=self.address[0], port=self.address[1])

    async def opened(self, **where: Any) -> Ends:
        self.clients.append(await asyncio.open_connection(**where))
        return self.clients[-1]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    yield made
    made.go.set()
    made.acceptor.close()
    for _, writer in made.clients:
        writer.transport.abort()
    for connection in list(made.connections):
        connection.transport.abort()
    async with asyncio.timeout(10):
        while made.connections:  # noqa: ASYNC110 - uvicorn's set tells nobody either
            await asyncio.sleep(0.001)
    made.ours.close()
    made.theirs.close()


async def body(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if head.startswith(b"http/1.1 100"):
        return await body(reader)
    assert head.startswith(b"http/1.1 "), head
    return await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))


@pytest.fixture
async def client(site: Site) -> Ends:
    return await site.client()


async def test_a_request_stands_in_the_journal_until_it_is_answered(site: Site, client: Ends) -> None:
    reader, writer = client
    writer.write(GET % b"/wait")
    await site.waiting.wait()
    assert site.state() is ConnectionState.ASKED
    site.go.set()
    assert await body(reader) == b"/wait"
    await site.until(ConnectionState.IDLE)


UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


async def test_an_upgrade_is_one_request_in_the_journal(site: Site, client: Ends) -> None:
    """Its head is parsed twice."""
    reader, writer = client
    for request in (GET % b"/echo", POST + b"ping", GET % b"/hot"):
        head, _, rest = request.partition(b"\r\n\r\n")
        writer.write(head + b"\r\n" + UPGRADE + rest)
        await body(reader)
        await site.until(ConnectionState.IDLE)


@pytest.mark.parametrize("first", [b"/hot", b"/echo"])
async def test_a_pipelined_request_is_never_taken_for_none(site: Site, client: Ends, first: bytes) -> None:
    reader, writer = client
    writer.write((POST + b"ping" if first == b"/echo" else GET % first) + GET % b"/wait")
    assert await body(reader) in (b"hot", b"ping")
    await site.waiting.wait()
    assert site.state() not in (ConnectionState.IDLE, ConnectionState.ASKED)
    site.go.set()
    assert await body(reader) == b"/wait"
    await site.until(ConnectionState.IDLE)


async def test_a_request_that_comes_before_the_last_is_answered_cannot_be_taken_up(site: Site, client: Ends) -> None:
    reader, writer = client
    writer.write(GET % b"/big")
    await site.until(ConnectionState.LOST)
    writer.write(GET % b"/hot")
    assert await body(reader) == BIG
    assert b"hot" in await body(reader)
    await site.until(ConnectionState.IDLE)


@pytest.mark.parametrize("path", [b"/big", b"/hot-and-big"])
async def test_an_answer_that_has_drained_leaves_the_journal_idle_by_itself(
    site: Site, client: Ends, path: bytes
) -> None:
    reader, writer = client
    writer.write(GET % path)
    await site.until(ConnectionState.LOST)
    assert await body(reader) == BIG
    await site.until(ConnectionState.IDLE)


async def test_an_interim_answer_is_none(site: Site, client: Ends) -> None:
    reader, writer = client
    writer.write(POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert site.state() is ConnectionState.ASKED
    writer.write(b"ping")
    assert await body(reader) == b"ping"
    await site.until(ConnectionState.IDLE)


async def test_a_refusal_goes_out_whole_and_its_connection_is_not_taken_for_idle(site: Site, client: Ends) -> None:
    reader, writer = client
    writer.write(b"GET / HTTP/9.9\r\n\r\n")
    assert b"p2pcache" in await reader.read()
    assert site.state() is not ConnectionState.IDLE


async def test_a_connection_that_is_over_is_let_go(site: Site) -> None:
    reader, writer = await site.client()
    writer.write(GET % b"/hot")
    assert await body(reader) == b"hot"
    writer.close()
    await writer.wait_closed()
    await site.until(ConnectionState.FREE)


async def adopt(site: Site, state: ConnectionState, received: bytes = b"", **more: Any) -> Ends:
    """Have the site take up a connection as of a dead node; gives the client's end."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    slot = site.journal.hold(theirs.fileno())
    assert slot is not None
    if received:
        site.journal.asked(slot, received, 0)
    await takeover.take_over(site.journal, [Adopted(slot, theirs, state, received, **more)], site.acceptor.serve)
    return await site.opened(sock=ours)


@pytest.mark.parametrize("split", [0, 5, len(POST), len(POST) + 2, len(POST) + 4])
async def test_what_was_received_comes_before_what_is_sent_now(site: Site, split: int) -> None:
    whole = POST + b"ping"
    reader, writer = await adopt(site, ConnectionState.ASKED if split else ConnectionState.IDLE, whole[:split])
    writer.write(whole[split:] + GET % b"/hot")
    assert await body(reader) == b"ping"
    assert b"hot" in await body(reader)
    await site.until(ConnectionState.IDLE)


async def test_a_replay_is_noted_until_it_is_answered(site: Site) -> None:
    reader, _ = await adopt(site, ConnectionState.ASKED, GET % b"/wait")
    await site.waiting.wait()
    assert (site.state(), site.memory[1]) == (ConnectionState.ASKED, 1)
    site.go.set()
    assert await body(reader) == b"/wait"
    await site.until(ConnectionState.IDLE)
    assert site.memory[1] == 0


async def test_a_write_that_was_sent_on_is_marked(site: Site, client: Ends) -> None:
    _, writer = client
    writer.write(GET % b"/write")
    await site.waiting.wait()
    assert (site.state(), site.memory[2]) == (ConnectionState.ASKED, 1)


@pytest.mark.parametrize(
    ("state", "more", "words"),
    [
        pytest.param(ConnectionState.ASKED, {"unsafe": True}, takeover.UNKNOWN_FATE, id="write"),
        pytest.param(ConnectionState.ASKED, {"whole": False}, takeover.UNKNOWN_FATE, id="too long"),
        pytest.param(ConnectionState.ASKED, {"replays": takeover.MAX_REPLAYS}, takeover.GIVEN_UP, id="deadly"),
        pytest.param(ConnectionState.LOST, {}, b"", id="lost"),
    ],
)
async def test_what_cannot_be_taken_up_is_ended(
    site: Site, state: ConnectionState, more: dict[str, Any], words: bytes
) -> None:
    reader, _ = await adopt(site, state, GET % b"/hot", **more)
    assert await reader.read() == words
    assert site.state() is ConnectionState.FREE
    assert words == b"" or await body(_reader_of(words))


def _reader_of(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    return reader


async def test_a_connection_without_a_slot_is_served_all_the_same(site: Site) -> None:
    site.journal._free.clear()
    reader, writer = await site.client()
    writer.write(GET % b"/hot" + POST + b"ping")
    assert [await body(reader), await body(reader)] == [b"hot", b"ping"]


async def test_a_lack_of_descriptors_ends_nothing(site: Site, client: Ends) -> None:
    class Out:
        def accept(self) -> None:
            raise OSError(24, "Too many open files")

        def fileno(self) -> int:
            return site.listener.fileno()

    site.acceptor._accept(cast("socket.socket", Out()))
    reader, writer = await site.client()
    reader, writer = client
    writer.write(GET % b"/hot")
    assert await body(reader) == b"hot"


async def test_a_memory_hit_leaves_no_note(site: Site, client: Ends) -> None:
    reader, writer = client
    before = site.memory[:]
    for _ in range(2):
        writer.write(GET % b"/hot")
        assert await body(reader) == b"hot"
    assert site.memory[:] == before


async def test_a_hit_that_ends_what_was_noted_leaves_the_journal_idle(site: Site, client: Ends) -> None:
    reader, writer = client
    writer.write((GET % b"/hot")[:-2])
    await site.until(ConnectionState.ASKED)
    writer.write((GET % b"/hot")[-2:])
    assert await body(reader) == b"hot"
    await site.until(ConnectionState.IDLE)


async def test_a_client_that_does_not_read_costs_one_check_at_a_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = 0
    check = HeldConnection._check

    def counted(self: HeldConnection) -> None:
        nonlocal checks
        checks += 1
        check(self)

    monkeypatch.setattr(HeldConnection, "_check", counted)
    monkeypatch.setitem(globals(), "BIG", b"z" * 40_000)  # what is left of it stays below the high-water mark
    loop = asyncio.get_running_loop()
    with contextlib.closing(socket.socket()) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await loop.sock_connect(sock, site.address)
        async with asyncio.timeout(20):
            while not site.connections:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        [connection] = site.connections
        cast("Any", connection.transport).get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await loop.sock_sendall(sock, GET % b"/hot-and-big")
        await asyncio.sleep(0.05)
        for _ in range(100):  # each in a segment of its own
            await loop.sock_sendall(sock, GET % b"/hot")
            await asyncio.sleep(0.001)
        assert connection.transport.get_write_buffer_size()
        began, before = loop.time(), checks
        await asyncio.sleep(0.5)
        assert 0 < checks - before <= (loop.time() - began) / DRAIN_CHECK_SECONDS + 2
