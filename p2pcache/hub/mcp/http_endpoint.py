"""``/-/mcp``: the MCP server of a hub. Nothing of it is loaded before it is first asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from p2pcache.cache.library import Library
from p2pcache.gateway.control import STATUS, Access, Endpoint, Gate
from p2pcache.gateway.exchange import Application, BadRequest, Exchange, Message
from p2pcache.gateway.routing import Upstreams
from p2pcache.hub import mcp
from p2pcache.hub.mcp.gateway_api import CONTROL_FIELD, GatewayApi
from p2pcache.hub.mcp.mcp_caller import McpCaller, authorization_of, digest_of
from p2pcache.hub.mcp.watches import MOST, Watches
from p2pcache.values import Secret

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from p2pcache.hub.mcp.sdk import McpServer

log = logging.getLogger(__name__)

NAME = "mcp"
MAX_BODY = 128 << 10
BODY_SECONDS = 30.0
"""How long a request's body may take in all."""
REQUESTS = MOST + 128
"""Requests at a time, subscriptions among them."""
CREDENTIALS = (b"authorization", b"cookie", CONTROL_FIELD.encode())
"""Fields that the SDK has no use for."""
CALLER = "p2pcache.caller"
"""The key of the caller in the ASGI scope."""


class McpEndpoint:
    """Serves MCP to the callers of a hub.

    Args:
        gateway: the ASGI application that the tools ask.
        upstreams: its upstream.
        gate: knows the control token.
        library: where drops are seen.
        token: the hub's own, for callers on its loopback that send none.
    """

    def __init__(
        self,
        gateway: Application,
        upstreams: Upstreams,
        gate: Gate,
        library: Library,
        token: Secret | None,
    ) -> None:
        self._gateway = gateway
        self._upstreams = upstreams
        self._gate = gate
        self._library = library
        self._token = token
        self._requests = 0
        self._server: McpServer | None = None
        self._manager: asyncio.Future[StreamableHTTPSessionManager] | None = None
        self._task: asyncio.Task[None] | None = None

    def endpoint(self) -> Endpoint:
        """Return the endpoint: who may use it, it decides by what a request proves."""
        return Endpoint(NAME, ("POST",), Access.OPEN, self._answer)

    async def close(self) -> None:
        """End the subscriptions and the server."""
        if self._server is not None:
            self._server.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _answer(self, exchange: Exchange) -> None:
        authorization = authorization_of(exchange, self._gate, self._token)
        if not mcp.installed():
            raise BadRequest(501, f"{mcp.MISSING[0].upper()}{mcp.MISSING[1:]}.")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body, whole = await exchange.body(MAX_BODY)
        except TimeoutError:
            raise BadRequest(408, f"The body did not arrive within {BODY_SECONDS:g} s.") from None
        if not whole:
            raise BadRequest(413, f"A request to /-/mcp has at most {MAX_BODY >> 10} KiB.", (b"connection", b"close"))
        api = GatewayApi(self._gateway, self._upstreams, authorization, exchange)
        with self._place():  # not before the body is there: one that does not come would keep others out
            manager = await self._started()
            client = _Client(exchange, body, McpCaller(api, digest_of(authorization)))
            await manager.handle_request(client.scope, client.receive, client.send)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._requests >= REQUESTS:
            raise BadRequest(503, "Too many MCP requests at a time; try again.", (b"retry-after", b"1"))
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    async def _started(self) -> StreamableHTTPSessionManager:
        if self._manager is None:
            self._manager = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._serve(self._manager), name="mcp")
        return await asyncio.shield(self._manager)

    async def _serve(self, ready: asyncio.Future[StreamableHTTPSessionManager]) -> None:
        """Run the server: the SDK wants it entered and left in one task."""
        try:
            sdk = await asyncio.to_thread(_imported)
            watches = Watches(self._library.keyring.topic_names)
            self._server = sdk.McpServer(lambda context: context.request.scope[CALLER], watches)
            async with sdk.over_http(self._server) as manager:
                self._library.watchers.append(watches.dropped)
                ready.set_result(manager)
                await asyncio.Event().wait()
        except Exception as error:
            log.exception("the MCP server could not be started")
            if not ready.done():
                ready.set_exception(BadRequest(500, f"The MCP server could not be started: {type(error).__name__}."))
                self._manager = None  # the next caller tries again
        finally:
            if not ready.done():  # the node stops
                ready.set_exception(BadRequest(503, "This node is being stopped."))


def _imported() -> Any:
    from p2pcache.hub.mcp import sdk

    return sdk


class _Client:
    """The client's side of the SDK's ASGI application."""

    def __init__(self, exchange: Exchange, body: bytes, caller: McpCaller) -> None:
        self._exchange = exchange
        self._body: bytes | None = body
        self.scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": exchange.method,
            "scheme": "http",
            "path": f"/-/{NAME}",
            "raw_path": f"/-/{NAME}".encode(),
            "query_string": b"",
            "root_path": "",
            # The SDK compares some of them with the body, without the spaces around them (RFC 9110 section 5.5).
            "headers": [(n, v.strip(b" \t")) for n, v in exchange.raw_headers if n not in CREDENTIALS],
            "client": exchange.client,
            "server": None,
            CALLER: caller,
        }

    async def receive(self) -> Message:
        if self._body is None:
            await self._exchange.gone()
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._exchange.start(message["status"], [*message["headers"], STATUS])
        else:
            await self._exchange.send(message.get("body", b""), more=message.get("more_body", False))
