"""Nothing a client sends becomes another client's request, and nothing of a request is lost on the way to GitHub."""

import asyncio
import json
import re
import subprocess
from pathlib import Path

import pytest

from p2pcache.node import Node
from p2pcache.testing import StandIn
from tests.support.gateway import LIMIT, TOKEN, Upstream, ask, connect, get, running

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
WEBSOCKET = ("Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x")
LABEL = b'{"name":"smuggled"}'


@pytest.fixture
def early(upstream: Upstream) -> Upstream:
    """GitHub's place, with a server that answers before it has read a body and keeps the connection."""

    async def answer(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")

    upstream.answers(answer)
    return upstream


@pytest.mark.parametrize("upgrade", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_the_body_of_an_upgrade_arrives(
    node: Node, github: StandIn, upgrade: tuple[str, str, str], framing: str
) -> None:
    if framing == "length":
        raw = get("/repos/octo/app/labels", *upgrade, f"Content-Length: {len(LABEL)}", method="POST") + LABEL
    else:
        head = get("/repos/octo/app/labels", *upgrade, "Transfer-Encoding: chunked", method="POST")
        raw = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(LABEL), LABEL)
    reply = await ask(node, raw)
    assert (reply.status, json.loads(reply.body)["name"]) == (201, "smuggled")
    assert not github.calls[-1].headers.keys() & {"upgrade", "http2-settings"}


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
async def test_an_upgrade_is_answered_however_it_is_cut(node: Node, github: StandIn, size: int) -> None:
    raw = get("/repos/octo/app/labels", *H2C, f"Content-Length: {len(LABEL)}", method="POST") + LABEL
    async with connect(node) as client:
        for start in range(0, len(raw), size):
            await client.send(raw[start : start + size])
            await asyncio.sleep(0)
        assert (await client.reply()).status == 201


@pytest.mark.parametrize("upgrade", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
async def test_what_is_pipelined_behind_an_upgrade_is_answered(
    node: Node, github: StandIn, upgrade: tuple[str, str, str]
) -> None:
    async with connect(node) as client:
        posted = get("/repos/octo/app/labels", *upgrade, f"Content-Length: {len(LABEL)}", method="POST") + LABEL
        await client.send(get("/zen", *upgrade) + posted + get("/repos/octo/app", *upgrade) + get("/meta"))
        assert [(await client.reply()).status for _ in range(4)] == [200, 201, 200, 200]
    assert [call.target for call in github.calls] == ["/zen", "/repos/octo/app/labels", "/repos/octo/app", "/meta"]


async def test_thousands_of_upgrades_in_one_piece_do_no_harm(node: Node, github: StandIn) -> None:
    async with connect(node) as client:
        await client.send(get("/repos/octo/app", *H2C) * 2000)
        assert (await client.reply()).status == 200
        await client.send(get("/repos/octo/app"))
    assert (await ask(node, get("/repos/octo/app"))).status == 200


async def test_the_next_clients_request_is_its_own(early: Upstream, tmp_path: Path) -> None:
    """The attack: a length without its body, and an upstream that answers early and keeps the connection open."""
    async with running(early.url, tmp_path) as node:
        smuggled = b"POST /markdown HTTP/1.1\r\nHost: api.github.com\r\nContent-Length: 1000\r\n\r\n"
        async with connect(node) as attacker:
            await attacker.send(get("/markdown", *H2C, f"Content-Length: {len(smuggled) + 500}", method="POST"))
            await attacker.send(smuggled)
            async with asyncio.timeout(LIMIT):
                await attacker.reader.read(1)
        for _ in range(3):
            async with connect(node) as victim:
                await victim.send(get("/zen"))
                assert (await victim.reply()).status == 200
        victims = [head for head in early.heads if f"token {TOKEN}".lower() in head.lower() and "GET /zen" in head]
        assert len(victims) == 3
        assert all(head.startswith("GET /zen HTTP/1.1\r\n") for head in victims)


async def test_a_length_that_is_not_fulfilled_ends_the_connection_to_github(upstream: Upstream, tmp_path: Path) -> None:
    got = []

    async def all_of_it(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read())

    upstream.answers(all_of_it)
    async with running(upstream.url, tmp_path) as node:
        async with connect(node) as client:
            await client.send(get("/markdown", "Content-Length: 100", method="POST") + b"x" * 10)
            await upstream.until(lambda: upstream.heads)
        await upstream.until(lambda: got)
    assert got == [b"x" * 10]


@pytest.mark.parametrize(
    ("lines", "gone"),
    [
        pytest.param(("Connection: X-Secret, close", "X-Secret: 1"), ["x-secret", "connection: x"], id="named"),
        pytest.param(("Connection: X-A", "Connection: X-B", "X-A: 1", "X-B: 2"), ["x-a:", "x-b:"], id="two lines"),
        pytest.param(("Connection: Authorization",), ["authorization"], id="credential"),
        pytest.param(("Keep-Alive: 5", "TE: trailers", "Proxy-Authorization: Basic eA=="), ["te:", "proxy-"], id="own"),
        pytest.param(("Proxy-Connection: keep-alive", "Trailer: X"), ["proxy-", "trailer"], id="older"),
    ],
)
@pytest.mark.parametrize("target", ["/repos/octo/app", "/zen"], ids=["read", "bypass"])
async def test_fields_of_the_connection_end_here(
    early: Upstream, tmp_path: Path, lines: tuple[str, ...], gone: list[str], target: str
) -> None:
    async with running(early.url, tmp_path) as node:
        assert (await ask(node, get(target, *lines))).status == 200
    head = early.heads[-1].lower()
    assert not [name for name in gone if f"\r\n{name}" in head]


async def test_what_connection_names_does_not_count_for_the_cache_either(node: Node, github: StandIn) -> None:
    """Else the answer to a token would be kept under it although the request that went out had none."""
    for _ in range(2):
        await ask(node, get("/repos/octo/app", "Connection: Authorization"))
    assert [call.token for call in github.calls[-1:]] == [None]
    stored = len(github.calls)
    assert (await ask(node, get("/repos/octo/app"))).status == 200
    assert github.calls[-1].token == TOKEN
    assert len(github.calls) == stored + 1


async def test_a_memory_hit_agrees_on_what_connection_names(node: Node, github: StandIn) -> None:
    for _ in range(3):
        assert (await ask(node, get("/repos/octo/app"))).status == 200
    asked = len(github.calls)
    await ask(node, get("/repos/octo/app", "Connection: keep-alive, Authorization"))
    assert len(github.calls) == asked + 1
    assert [call.token for call in github.calls[-1:]] == [None]


async def test_connection_cannot_take_the_framing_away(node: Node, github: StandIn) -> None:
    fields = ("Connection: Content-Length, Host", f"Content-Length: {len(LABEL)}")
    async with connect(node) as client:
        await client.send(get("/repos/octo/app/labels", *fields, method="POST") + LABEL + get("/zen"))
        assert [(await client.reply()).status for _ in range(2)] == [201, 200]
    fields = ("Connection: Transfer-Encoding", "Transfer-Encoding: chunked")
    async with connect(node) as client:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(LABEL), LABEL.replace(b"smuggled", b"smuggle2"))
        await client.send(get("/repos/octo/app/labels", *fields, method="POST") + body)
        assert (await client.reply()).status == 201


@pytest.mark.needs("curl")
@pytest.mark.parametrize("way", ["--http2", "--http1.1"])
async def test_curl_that_wishes_for_http2_arrives(node: Node, github: StandIn, way: str) -> None:
    sent = ["-d", LABEL.decode(), "-H", f"Authorization: token {TOKEN}", "-w", " %{http_code}"]
    done = await asyncio.to_thread(
        subprocess.run,
        ["curl", "-sS", way, *sent, f"{node.address}/repos/octo/app/labels"],
        capture_output=True,
        timeout=LIMIT,
        check=True,
    )
    assert re.search(rb'"name":\s*"smuggled".* 201$', done.stdout, re.DOTALL)
