"""Of every request that a client can write, exactly what it means reaches GitHub: no byte more, none less.

Requests are generated together with their meaning, written in many spellings (framing, cuts, pipelines, upgrades,
fields of the connection), and compared with what a strict reader finds at the other end.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from p2pcache.github.classify import classify
from p2pcache.github.headers import HOP_BY_HOP
from p2pcache.github.methods import METHODS
from p2pcache.github.request import Bypass, Request
from p2pcache.node import Node
from tests.support.gateway import LIMIT, connect, running

FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
COUNT = itertools.count()


@dataclass
class Sent:
    """A request as it is meant: `fields` go through, `connection` does not."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    connection: list[tuple[str, str]]
    body: bytes | None
    chunks: list[int] = field(default_factory=list)
    trailer: bytes = b""
    host: str = "api.github.com"

    def raw(self) -> bytes:
        lines = [("Host", self.host), *self.fields, *self.connection]
        body = self.body or b""
        if self.body is not None and self.chunks:
            lines.append(("Transfer-Encoding", "chunked"))
            pieces, rest = [], body
            for size in itertools.cycle(self.chunks):
                if not rest:
                    break
                piece, rest = rest[:size], rest[size:]
                pieces.append(b"%x;e=1\r\n%b\r\n" % (len(piece), piece))
            body = b"".join(pieces) + b"0\r\n" + self.trailer + b"\r\n"
        elif self.body is not None:
            lines.append(("Content-Length", str(len(body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        return f"{self.method} {self.target} HTTP/1.1\r\n{head}\r\n".encode() + body

    def meant(self) -> tuple[str, str, list[tuple[str, str]], bytes]:
        """What has to arrive, less framing and Host, which each hop writes for itself."""
        named = {
            token.strip().lower()
            for name, value in self.connection
            if name.lower() == "connection"
            for token in value.split(",")
        }
        gone = HOP_BY_HOP | named | {"expect"}
        kept = [(name.lower(), value) for name, value in self.fields if name.lower() not in gone]
        return self.method, self.target, kept, self.body or b""


class Strict:
    """Stands where GitHub is and reads with no forgiveness; what it cannot read is a failure of the test."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, list[tuple[str, str]], bytes]] = []
        self.hosts: set[str] = set()
        self.broken: list[str | bytes] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                await self.one(head, reader)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                self.broken.append(error.partial)
        except (ValueError, AssertionError) as error:
            self.broken.append(repr(error))
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def one(self, head: str, reader: asyncio.StreamReader) -> None:
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        method, target, version = first.split(" ")
        assert version == "HTTP/1.1"
        fields = [(name.lower(), value) for name, value in (line.split(": ", 1) for line in lines)]
        framing = [line for line in fields if line[0] in ("content-length", "transfer-encoding")]
        assert len(framing) <= 1, framing
        body = b""
        for name, value in framing:
            if name == "content-length":
                body = await reader.readexactly(int(value))
            else:
                assert value == "chunked"
                body = await self.chunks(reader)
        own = ("content-length", "transfer-encoding", "host")
        self.hosts.update(value for name, value in fields if name == "host")
        self.seen.append((method, target, [line for line in fields if line[0] not in own], body))

    @staticmethod
    async def chunks(reader: asyncio.StreamReader) -> bytes:
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"  # no trailer
        return body


@pytest.fixture
async def strict() -> AsyncIterator[Strict]:
    made = Strict()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=1 << 20)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()


@pytest.fixture
async def node(strict: Strict, tmp_path: Path) -> AsyncIterator[Node]:
    async with running(strict.url, tmp_path) as made:
        yield made


VALUE = st.text(st.characters(min_codepoint=33, max_codepoint=126) | st.sampled_from(' \té,;"'), max_size=20).map(
    str.strip
)
NAMES = [
    "Authorization",
    "X-One",
    "X-Two",
    "Accept",
    "Content-Type",
    "Cookie",
    "User-Agent",
    "X-GitHub-Thing",
    "Origin",
]


def unambiguous(fields: list[tuple[str, str]]) -> bool:
    """A second Authorization is refused, which is tested by itself."""
    return sum(name == "Authorization" for name, _ in fields) < 2


FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), VALUE), max_size=5).filter(unambiguous)
NAMED = st.lists(
    st.sampled_from(["X-One", "x-two", "keep-alive", "Authorization", "Content-Length", "Host", ""]), max_size=3
)
CONNECTION = st.lists(
    st.one_of(
        NAMED.map(lambda names: ("Connection", ", ".join(names))),
        st.sampled_from(
            [
                ("Upgrade", "h2c"),
                ("Connection", "Upgrade, HTTP2-Settings"),
                ("Connection", "upgrade"),
                ("Upgrade", "websocket"),
                ("Keep-Alive", "timeout=5"),
                ("TE", "trailers"),
                ("Proxy-Connection", "keep-alive"),
                ("Proxy-Authorization", "Basic eDp5"),
                ("Expect", "100-continue"),
                ("P2pcache-Other", "1"),
            ]
        ),
    ),
    max_size=4,
)
BODIES = (
    st.none()
    | st.binary(max_size=300)
    | st.sampled_from([b"GET /zen HTTP/1.1\r\nHost: x\r\n\r\n", b"0\r\n\r\n", b"x" * 70_000])
)
CHUNKS: st.SearchStrategy[list[int]] = st.just([]) | st.lists(
    st.sampled_from([1, 7, 100, 40_000]), min_size=1, max_size=3
)
RELAYED = [
    "/zen",
    "/octocat?s=%20",
    "/graphql",
    "/nowhere/at//all",
    "/repos/o/r/tarball/x",
    "/a?b=?c",
]
TRAILERS = st.sampled_from([b"", b"X-Trailer: 1\r\n", b"Authorization: token x\r\nHost: x\r\n"])


def slow_to_shrink(body: bytes | None, chunks: list[int]) -> bool:
    """A large body in single bytes says nothing that a small one does not."""
    return not (body and len(body) > 1000 and min(chunks, default=99) < 99)


@st.composite
def relayed(draw: Callable[..., Any]) -> Sent:
    method = draw(st.sampled_from([*sorted(METHODS - {"HEAD"}), "PROPFIND"]))
    target = draw(st.sampled_from(RELAYED if method == "GET" else [*RELAYED, "/repos/o/r/labels"]))
    body, chunks = draw(st.tuples(BODIES, CHUNKS).filter(lambda both: slow_to_shrink(*both)))
    return Sent(method, target, draw(FIELDS), draw(CONNECTION), body, chunks, draw(TRAILERS))


async def tell(node: Node, requests: list[Sent], cuts: list[int]) -> list[int]:
    """Send the requests as one stream of bytes, cut anywhere; the statuses of the answers."""
    raw = b"".join(request.raw() for request in requests)
    places = sorted({min(cut, len(raw)) for cut in cuts} | {0, len(raw)})
    statuses: list[int] = []
    async with connect(node) as client, asyncio.timeout(LIMIT):
        for start, end in itertools.pairwise(places):
            await client.send(raw[start:end])
            await asyncio.sleep(0)
        while len(statuses) < len(requests):
            head = (await client.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            status = int(head[9:12])
            if status == 100:
                continue
            length = head.partition("content-length: ")[2].partition("\r\n")[0]
            await client.reader.readexactly(int(length or 0))
            statuses.append(status)
    return statuses


CUTS = st.lists(st.integers(0, 2000), max_size=6)


@given(requests=st.lists(relayed(), min_size=1, max_size=4), cuts=CUTS)
@FUZZ
async def test_what_is_passed_on_is_what_was_sent(
    node: Node, strict: Strict, requests: list[Sent], cuts: list[int]
) -> None:
    strict.seen.clear()
    assert await tell(node, requests, cuts) == [200] * len(requests)
    assert strict.broken == []
    assert strict.seen == [request.meant() for request in requests]
    assert strict.hosts == {strict.url.removeprefix("http://")}


def joined(lines: list[tuple[str, str]]) -> dict[str, str]:
    """Repeated fields are one (RFC 9110 section 5.3), their values in the order sent."""
    found: dict[str, list[str]] = {}
    for name, value in lines:
        found.setdefault(name, []).append(value)
    return {name: ", ".join(values) for name, values in found.items() if name not in OWN}


KEYED = {"accept", "authorization", "cookie", "content-type", "x-requested-with", "x-github-thing"}
OWN = {"user-agent", "accept-encoding"}
"""Fields of a cacheable read that the cache writes for itself."""


@given(fields=FIELDS, connection=CONNECTION, more=st.lists(relayed(), max_size=2), cuts=CUTS)
@example(fields=[("X-One", ""), ("Accept", "é")], connection=[], more=[], cuts=[])
@FUZZ
async def test_a_read_asks_what_was_asked(
    node: Node,
    strict: Strict,
    fields: list[tuple[str, str]],
    connection: list[tuple[str, str]],
    more: list[Any],
    cuts: list[int],
) -> None:
    strict.seen.clear()
    read = Sent("GET", f"/repos/o/r?n={next(COUNT)}", fields, connection, None)
    assert await tell(node, [read, *more], cuts) == [200] * (1 + len(more))
    assert strict.broken == []
    method, target, sent, body = strict.seen[0]
    assert (method, target, body) == ("GET", read.target, b"")
    meant = [(name.lower(), value) for name, value in fields if name.lower() in dict(read.meant()[2])]
    if isinstance(classify(Request("GET", target, joined(meant))), Bypass):
        assert sent == read.meant()[2], "what has no key passes as it is, for its own caller"
        return
    # Of fields that are not in the key none goes along: the answer is for others, too.
    assert joined(sent) == {name: value for name, value in joined(meant).items() if name in KEYED}
    assert strict.seen[1:] == [request.meant() for request in more]


@given(requests=st.lists(relayed(), min_size=1, max_size=3), at=st.integers(1, 400), junk=st.binary(max_size=60))
@FUZZ
async def test_a_stream_that_was_tampered_with_sends_nothing_that_nobody_sent(
    node: Node, strict: Strict, requests: list[Sent], at: int, junk: bytes
) -> None:
    """Bytes put in anywhere: what arrives is whole, and is what a strict reader finds in the stream."""
    strict.seen.clear()
    mark = str(next(COUNT))
    marked = [replace(request, fields=[*request.fields, ("X-Example", mark)]) for request in requests]
    raw = b"".join(request.raw() for request in marked)
    raw = raw[:at] + junk + raw[at:]
    async with connect(node) as client, asyncio.timeout(LIMIT):
        await client.send(raw + b"GET /meta?last HTTP/1.1\r\nHost: api.github.com\r\nConnection: close\r\n\r\n")
        client.writer.write_eof()
        await client.ended()
    assert [said for said in strict.broken if not isinstance(said, bytes)] == []
    strict.broken.clear()  # a body that the client broke off ends the connection to GitHub in its middle
    raw += b"GET /meta?last HTTP/1.1\r\n"
    for method, target, fields, body in strict.seen:
        if dict(fields).get("x-example", mark) in map(str, range(int(mark))):
            continue  # whole, and on its way to GitHub still, when the client of an earlier example had gone
        assert f"{method} {target} HTTP/1.1\r\n".encode() in raw
        assert all(value.encode() in raw for name, value in fields if name not in OWN)
        assert len(body) <= len(raw)
