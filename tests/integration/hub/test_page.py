"""The page of a node, asked as a browser asks for it: over real sockets, and by those who may not."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from p2pcache.gateway.bounds import ClientBounds
from p2pcache.hub import page_live
from p2pcache.node import Node
from p2pcache.testing import StandIn
from tests.support.gateway import LIMIT, Raw, ask, connect_tcp, get, running

OWN = "127.0.0.1:9"


def page(path: str = "/-/", *lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", f"Host: {OWN}", *lines, "", ""]).encode()


class Events:
    """The events of a page over a raw connection."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw

    async def head(self) -> str:
        await self._raw.send(page("/-/events"))
        async with asyncio.timeout(LIMIT):
            return (await self._raw.reader.readuntil(b"\r\n\r\n")).decode()

    async def next(self) -> Any:
        """The next event; None when there will be no more."""
        async with asyncio.timeout(LIMIT):
            size = int(await self._raw.reader.readline(), 16)
            piece = await self._raw.reader.readexactly(size + 2)
        found = [line for line in piece.decode().splitlines() if line.startswith("data: ")]
        return json.loads(found[0].removeprefix("data: ")) if size else None


async def test_the_page_is_there_with_what_the_node_did(node: Node) -> None:
    for _ in range(3):
        await ask(node, get("/repos/octo/app"))
    reply = await ask(node, page())
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["cache-status"] == "p2pcache; detail=control"
    assert '<strong class="number">2</strong> <span>API calls saved' in reply.body.decode()
    assert "octo" not in reply.body.decode().replace("{owner}", "")


async def test_the_page_belongs_to_no_other_site(node: Node) -> None:
    headers = (await ask(node, page())).headers
    policy = headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} <= {*policy}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "set-cookie" not in headers


@pytest.mark.parametrize("path", ["/-/", "/-/events"])
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        pytest.param(["Origin: https://evil.example"], 403, id="a page of another site"),
        pytest.param(["Origin: null"], 403, id="a sandboxed page"),
        pytest.param(["X-Forwarded-For: 10.0.0.9"], 401, id="from afar, through a proxy"),
        pytest.param(["X-Forwarded-For: 10.0.0.9", "Authorization: Basic eDp5"], 401, id="with a wrong password"),
    ],
)
async def test_it_is_not_for_everybody(node: Node, path: str, lines: list[str], status: int) -> None:
    assert (await ask(node, page(path, *lines))).status == status


async def test_a_name_that_leads_here_is_not_enough(node: Node) -> None:
    # DNS rebinding: a page of that name would be of the same site as what it asks here.
    reply = await ask(node, page().replace(OWN.encode(), b"evil.example"))
    assert reply.status != 200


@pytest.mark.parametrize("path", ["/-/?token=x", "/-/stats/../"])
async def test_nothing_in_the_address_opens_it(node: Node, path: str) -> None:
    assert (await ask(node, page(path, "X-Forwarded-For: 10.0.0.9"))).status in (401, 404)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_it_takes_nothing(node: Node, method: str) -> None:
    assert (await ask(node, page().replace(b"GET", method.encode()))).status == 405


async def test_changes_come_by_themselves(node: Node) -> None:
    async with connect_tcp(node) as raw:
        events = Events(raw)
        head = await events.head()
        assert "content-type: text/event-stream" in head
        assert "x-accel-buffering: no" in head
        assert ">0</strong>" in (await events.next())["saved"]
        for _ in range(2):
            await ask(node, get("/repos/octo/app"))
        async with asyncio.timeout(LIMIT):
            while ">1</strong> <span>API call saved" not in (await events.next()).get("saved", ""):
                pass


async def test_old_clients_are_told(node: Node) -> None:
    reply = await ask(node, page("/-/events", version="1.0"))
    assert reply.status == 505
    assert b"HTTP/1.1" in reply.body


async def test_one_more_than_the_bound_is_refused(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_live, "MAX_LISTENERS", 1)
    async with connect_tcp(node) as raw:
        await Events(raw).head()
        reply = await ask(node, page("/-/events"))
        assert (reply.status, reply.headers["retry-after"]) == (503, "5")


async def test_one_that_does_not_read_is_cut_off(
    github: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_live, "WRITE_SECONDS", 0.2)
    monkeypatch.setattr(page_live, "PUBLISH_SECONDS", 0.001)
    monkeypatch.setattr(page_live, "MAX_LISTENERS", 1)
    filled = iter(range(10**9))
    large = {"saved": "x" * (1 << 20)}
    monkeypatch.setattr(page_live, "sections", lambda view: {**large, "n": str(next(filled))})
    async with running(github.url, tmp_path, ClientBounds(write_seconds=0.5)) as node, connect_tcp(node) as raw:
        monkeypatch.setattr(page_live, "_event", lambda changed: b"data: " + b"x" * (1 << 20) + b"\n\n")
        await raw.send(page("/-/events"))
        await raw.reader.readuntil(b"\r\n\r\n")
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is one that can
        async with asyncio.timeout(LIMIT):
            # Its place is free again: somebody else may listen.
            while True:
                async with connect_tcp(node) as other:
                    await other.send(page("/-/events"))
                    if b" 200 " in await other.reader.readline():
                        break
                await asyncio.sleep(0.05)


async def test_a_node_that_stops_ends_the_events(github: StandIn, tmp_path: Path) -> None:
    async with running(github.url, tmp_path) as node, connect_tcp(node) as raw:
        events = Events(raw)
        await events.head()
        await events.next()
        stopping = asyncio.create_task(node.stop())
        while await events.next() is not None:
            pass
        assert await raw.ended() in (b"", b"\r\n")
        await stopping


async def test_who_has_the_token_looks_from_afar(node: Node, tmp_path: Path) -> None:
    token = (tmp_path / "s.control-token").read_text()
    headers = {"X-Forwarded-For": "10.0.0.9"}
    given = {**headers, "Authorization": aiohttp.encode_basic_auth("anyone", token)}
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{node.address}/-/", headers=given) as answer:
            assert answer.status == 200
        async with session.get(f"{node.address}/-/", headers=headers) as answer:
            assert answer.status == 401
            assert [value.split()[0] for value in answer.headers.getall("www-authenticate")] == ["Bearer", "Basic"]


def test_a_node_that_nobody_looks_at_loads_none_of_it() -> None:
    script = "import sys, p2pcache.node; print(*sorted(m for m in sys.modules if m.startswith('p2pcache.hub')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.split() == ["p2pcache.hub", "p2pcache.hub.addons", "p2pcache.hub.page"]
