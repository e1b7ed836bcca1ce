"""The page at ``/-/`` and its events: what a node did and does, for people.

A hub keeps the page's history from its start; another node begins with the first request for it, and until then pays
for nothing but this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p2pcache.clock import unix_time
from p2pcache.gateway.control import STATUS, Access, Endpoint
from p2pcache.gateway.exchange import BadRequest, Disconnected, Exchange
from p2pcache.gateway.head import Line

if TYPE_CHECKING:
    from p2pcache.hub.page_live import LivePage

EVENT_LINES: tuple[Line, ...] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-accel-buffering", b"no"),  # nginx would gather what is to be seen now
    STATUS,
)


@dataclass(frozen=True, slots=True)
class PageSources:
    """Where a page gets from what it shows.

    Attributes:
        stats: the ledger, as `/-/stats` gives it.
        peers: the peers table.
        ready: the ready file's content.
        hub: whether the node is a hub.
        clock: Unix seconds.
    """

    stats: Callable[[], Mapping[str, Any]]
    peers: Callable[[], list[Mapping[str, Any]]]
    ready: Callable[[], Mapping[str, Any]]
    hub: bool = False
    clock: Callable[[], float] = unix_time


class StatusPage:
    """The page of a node, which shows what `sources` give."""

    def __init__(self, sources: PageSources) -> None:
        self._sources = sources
        self._live: LivePage | None = None
        self._closed = False

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints."""
        return (
            Endpoint("", ("GET",), Access.READ, self._page),
            Endpoint("events", ("GET",), Access.READ, self._events),
        )

    def start(self) -> LivePage:
        """Begin to keep the history, unless that was done."""
        if self._live is None:
            from p2pcache.hub.page_live import LivePage

            self._live = LivePage(self._sources)
            self._live.start()
        return self._live

    async def close(self) -> None:
        """End every answer that is under way, and the history."""
        self._closed = True
        if self._live is not None:
            await self._live.close()

    async def _page(self, exchange: Exchange) -> None:
        self._refuse_when_closed()
        from p2pcache.hub.page_document import document, headers

        await exchange.reply(200, document(self.start().view()), [*headers(), STATUS])

    async def _events(self, exchange: Exchange) -> None:
        self._refuse_when_closed()
        if not exchange.streams:
            raise BadRequest(505, "Events need HTTP/1.1: in nginx, proxy_http_version 1.1.")

        async def send(event: bytes) -> None:
            if not exchange.started:
                await exchange.start(200, EVENT_LINES)
            await exchange.send(event, more=True)

        try:
            if not await self.start().listen(send):
                raise BadRequest(503, "Too many look at this page now; try again.", (b"retry-after", b"5"))
        except TimeoutError:
            raise Disconnected from None
        await exchange.send(b"")

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise BadRequest(503, "This node is stopping.", (b"connection", b"close"))
