"""What a node does beside caching: its page, webhooks, MCP, traces. Each is loaded where the settings ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from p2pcache.cache.library import Library
from p2pcache.gateway.control import Endpoint, Gate
from p2pcache.gateway.exchange import Application
from p2pcache.gateway.routing import Upstreams
from p2pcache.gateway.seen import Observer
from p2pcache.hub.page import PageSources, StatusPage
from p2pcache.ledger.ledger import Ledger
from p2pcache.settings import Settings

if TYPE_CHECKING:
    from p2pcache.hub.mcp.http_endpoint import McpEndpoint
    from p2pcache.hub.traces import Traces
    from p2pcache.hub.webhook import Drop, Webhook


class Addons:
    """The parts of one node.

    Args:
        settings: which there are.
        sources: what the page shows.

    Attributes:
        observers: see every request that was answered.
    """

    def __init__(self, settings: Settings, sources: PageSources) -> None:
        self._settings = settings
        self._page = StatusPage(sources)
        self._webhook: Webhook | None = None
        self._mcp: McpEndpoint | None = None
        self._traces: Traces | None = None
        if settings.traces_endpoint:
            from p2pcache.hub import traces

            self._traces = traces.opened(settings.traces_endpoint)
        self.observers: tuple[Observer, ...] = (self._traces.observe,) if self._traces else ()

    def endpoints(
        self, app: Application, gate: Gate, upstreams: Upstreams, library: Library, wrote: Drop, ledger: Ledger
    ) -> Sequence[Endpoint]:
        """Return what they answer below ``/-/``.

        Args:
            app: the gateway, for parts that ask it.
            gate: who may.
            upstreams: whose webhooks are taken, and whose API is asked.
            library: tells of what is dropped.
            wrote: drops topics, here and at the peers.
            ledger: counts deliveries.

        Raises:
            SettingsError: a webhook's secret protects nothing.
        """
        settings, found = self._settings, [*self._page.endpoints()]
        if settings.webhook_secrets:
            from p2pcache.hub import webhook

            self._webhook = webhook.webhook_of(settings, upstreams, wrote, ledger)
            found += self._webhook.endpoints()
        if settings.hub:
            from p2pcache.hub.mcp.http_endpoint import McpEndpoint

            self._mcp = McpEndpoint(app, upstreams, gate, library, settings.token)
            found.append(self._mcp.endpoint())
        return found

    def start(self) -> None:
        """Begin what goes on beside requests."""
        if self._settings.hub:
            self._page.start()

    async def end(self) -> None:
        """End answers without an end, so that the gateway can stop."""
        await self._page.close()
        if self._mcp is not None:
            await self._mcp.close()

    async def close(self) -> None:
        """Send what was observed; drop nothing more."""
        if self._webhook is not None:
            self._webhook.close()
        if self._traces is not None:
            await self._traces.close()
