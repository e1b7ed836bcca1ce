import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from p2pcache.hub import page_live
from p2pcache.hub.markup import Markup
from p2pcache.hub.page import PageSources
from p2pcache.hub.page_live import MAX_LISTENERS, MAX_WAITING, RETRY, LivePage

from .lab import NOW, READY, busy, peer

SECONDS = 10.0


class Node:
    """What a page is made of, and the page."""

    def __init__(self) -> None:
        self.ledger = busy()
        self.peers: list[Any] = [peer("12D3KooWMember")]
        self.now = NOW
        self.live = LivePage(PageSources(self.ledger.stats, lambda: self.peers, lambda: READY, True, lambda: self.now))


class Reader:
    """A listener; `reads` says whether it does."""

    def __init__(self, live: LivePage) -> None:
        self.events: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.reads = asyncio.Event()
        self.reads.set()
        self.task = asyncio.create_task(live.listen(self.send))

    async def send(self, event: bytes) -> None:
        await self.reads.wait()
        data = event.removeprefix(RETRY)
        assert data.startswith(b"data: ")
        assert data.endswith(b"\n\n")
        assert data.count(b"\n") == 2
        self.events.put_nowait(json.loads(data.removeprefix(b"data: ")))

    async def next(self) -> dict[str, str]:
        async with asyncio.timeout(SECONDS):
            return await self.events.get()

    async def ended(self) -> bool:
        async with asyncio.timeout(SECONDS):
            return await self.task


@pytest.fixture
async def node(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    monkeypatch.setattr(page_live, "PUBLISH_SECONDS", 0.001)
    monkeypatch.setattr(page_live, "SILENT_SECONDS", 3600.0)
    made = Node()
    made.live.start()
    yield made
    await made.live.close()


async def test_a_listener_gets_the_page_and_then_what_changes(node: Node) -> None:
    reader = Reader(node.live)
    assert {"saved", "peers", "tiers", "routes", "quota", "errors", "health", "about"} == set(await reader.next())
    node.ledger.miss(node.ledger.route("GET /user"))
    changed = await reader.next()
    assert "routes" in changed
    assert "peers" not in changed
    assert ">201<" in changed["routes"]


async def test_all_listeners_get_the_same(node: Node) -> None:
    readers = [Reader(node.live) for _ in range(3)]
    for reader in readers:
        await reader.next()
    node.ledger.miss(node.ledger.route("GET /user"))
    first, *others = [await reader.next() for reader in readers]
    assert all(other == first for other in others)


async def test_one_that_came_later_misses_nothing(node: Node) -> None:
    first = Reader(node.live)
    await first.next()
    node.ledger.miss(node.ledger.route("GET /user"))
    await first.next()
    assert ">201<" in (await Reader(node.live).next())["routes"]


async def test_silence_is_broken_now_and_then(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_live, "SILENT_SECONDS", 0.001)
    reader = Reader(node.live)
    await reader.next()
    assert await reader.next() == {}


async def test_a_reader_that_does_not_read_is_dropped_and_others_go_on(node: Node) -> None:
    slow, reader = Reader(node.live), Reader(node.live)
    slow.reads.clear()
    await reader.next()
    for _ in range(MAX_WAITING + 2):
        node.ledger.miss(node.ledger.route("GET /user"))
        await reader.next()
    with pytest.raises(TimeoutError):
        await slow.ended()
    node.ledger.miss(node.ledger.route("GET /user"))
    assert await reader.next()
    assert not reader.task.done()


async def test_an_event_that_is_not_taken_in_time_ends_it(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_live, "WRITE_SECONDS", 0.001)
    slow = Reader(node.live)
    slow.reads.clear()
    with pytest.raises(TimeoutError):
        await slow.ended()


async def test_listeners_are_bounded_and_give_their_place_back(node: Node) -> None:
    readers = [Reader(node.live) for _ in range(MAX_LISTENERS)]
    for reader in readers:
        await reader.next()
    assert await Reader(node.live).ended() is False
    readers[0].task.cancel()
    await asyncio.gather(readers[0].task, return_exceptions=True)
    late = Reader(node.live)
    assert await late.next()
    for reader in (late, *readers):
        reader.task.cancel()
    await asyncio.gather(*(reader.task for reader in (late, *readers)), return_exceptions=True)


async def test_the_end_of_the_page_ends_all_listeners(node: Node) -> None:
    readers = [Reader(node.live) for _ in range(3)]
    for reader in readers:
        await reader.next()
    stuck = Reader(node.live)
    stuck.reads.clear()
    await asyncio.sleep(0)
    await node.live.close()
    assert [await reader.ended() for reader in readers] == [True] * 3
    with pytest.raises(TimeoutError):
        await stuck.ended()


async def test_nobody_looks_and_nothing_is_rendered(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(node.live)
    await reader.next()
    reader.task.cancel()
    await asyncio.gather(reader.task, return_exceptions=True)
    rendered: list[Any] = []

    def render(view: Any) -> dict[str, Markup]:
        rendered.append(view)
        return {}

    monkeypatch.setattr(page_live, "sections", render)
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert len(rendered) <= 1  # one may have been under way


async def test_samples_are_taken_while_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_live, "SAMPLE_SECONDS", 0.001)
    node = Node()
    node.live.start()
    async with asyncio.timeout(SECONDS):
        while len(node.live.view().history.hour) < 3:  # noqa: ASYNC110 - taken by a task that says nothing
            await asyncio.sleep(0.001)
    await node.live.close()


async def test_a_peer_that_sends_is_active_for_a_while(node: Node) -> None:
    assert node.live.view().active == frozenset()
    node.peers = [peer("12D3KooWMember", bytes_in=9000)]
    assert node.live.view().active == {"12D3KooWMember"}
    node.now += 1
    assert node.live.view().active == {"12D3KooWMember"}
    node.now += page_live.ACTIVE_SECONDS
    assert node.live.view().active == frozenset()
