"""The live page of a running node: samples of its ledger, and the changed sections for every listener."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from p2pcache.hub.markup import Markup
from p2pcache.hub.page import PageSources
from p2pcache.hub.page_history import SAMPLE_SECONDS, History
from p2pcache.hub.page_sections import PageView, sections
from p2pcache.ledger.stats import read

MAX_LISTENERS = 32
MAX_WAITING = 8
"""Changes that may wait for a listener that does not read; then it is dropped."""
PUBLISH_SECONDS = 1.0
SILENT_SECONDS = 5.0
"""After so long without a change an empty one is sent, so that both sides see that the other is there."""
WRITE_SECONDS = 10.0
"""How long a listener may leave one change unread."""
ACTIVE_SECONDS = 4.0
"""How long a peer is shown as active."""
RETRY = b"retry: 2000\n\n"


class PageListener:
    """One open page: a bounded queue of events for one client."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING)
        self._writing: asyncio.Timeout | None = None
        self.ended = False

    def offer(self, event: bytes) -> None:
        """Queue an event; a listener with no room for it is dropped."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            self.end()

    def end(self) -> None:
        """Send nothing more, and break off what is being written."""
        if self.ended:
            return
        self.ended = True
        if self._writing is not None:
            self._writing.reschedule(0)
        elif self._waiting.empty():
            self._waiting.put_nowait(None)

    async def write(self, send: Callable[[bytes], Any]) -> None:
        """Send events until the end.

        Raises:
            TimeoutError: the listener does not read.
        """
        while not self.ended:
            event = await self._waiting.get()
            if event is None or self.ended:
                return
            async with asyncio.timeout(WRITE_SECONDS) as self._writing:
                await send(event)
            self._writing = None


class LivePage:
    """Keeps a node's history, and sends listeners what changes on the page."""

    def __init__(self, sources: PageSources) -> None:
        self._sources = sources
        self._history = History()
        self._traffic: dict[str, tuple[int, float]] = {}
        self._shown: dict[str, Markup] = {}
        self._listeners: set[PageListener] = set()
        self._listened = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to keep the history."""
        self._sample()
        self._tasks = [
            asyncio.create_task(self._keep(), name="page history"),
            asyncio.create_task(self._publish(), name="page events"),
        ]

    async def close(self) -> None:
        """End the history and what listeners are sent."""
        for listener in list(self._listeners):
            listener.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def view(self) -> PageView:
        """Return what the page shows now."""
        sources = self._sources
        peers, now = sources.peers(), sources.clock()
        active = self._active(peers, now)
        return PageView(read(sources.stats()), peers, sources.ready(), sources.hub, self._history, now, active)

    def _active(self, peers: Sequence[Mapping[str, Any]], now: float) -> frozenset[str]:
        """Return the peers that sent or got bytes of blocks lately."""
        before, self._traffic = self._traffic, {}
        for row in peers:
            peer, total = row["peer_id"], row["bytes_in"] + row["bytes_out"]
            earlier, at = before.get(peer, (total, -math.inf))
            self._traffic[peer] = (total, at if total == earlier else now)
        return frozenset(peer for peer, (_, at) in self._traffic.items() if now - at < ACTIVE_SECONDS)

    async def listen(self, send: Callable[[bytes], Any]) -> bool:
        """Send the page and then its changes, until the listener or the page ends; False if there are too many.

        Raises:
            TimeoutError: the listener does not read.
        """
        if len(self._listeners) >= MAX_LISTENERS:
            return False
        if not self._listeners:
            self._shown = sections(self.view())
        listener = PageListener()
        listener.offer(RETRY + _event(self._shown))
        self._listeners.add(listener)
        self._listened.set()
        try:
            await listener.write(send)
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._listened.clear()
        return True

    def _sample(self) -> None:
        self._history.take(read(self._sources.stats()), self._sources.clock())

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            self._sample()

    async def _publish(self) -> None:
        silent = 0.0
        while True:
            await self._listened.wait()
            await asyncio.sleep(PUBLISH_SECONDS)
            before, self._shown = self._shown, sections(self.view())
            changed = {name: text for name, text in self._shown.items() if before.get(name) != text}
            silent = 0.0 if changed else silent + PUBLISH_SECONDS
            if not changed and silent < SILENT_SECONDS:
                continue
            silent, event = 0.0, _event(changed)
            for listener in list(self._listeners):
                listener.offer(event)


def _event(sections: Mapping[str, Markup]) -> bytes:
    return b"data: " + msgspec.json.encode({name: str(text) for name, text in sections.items()}) + b"\n\n"
