"""The protocol: tools, resources and subscriptions as the SDK serves them, in both its versions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import mcp_types as types
import msgspec
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY, ListenHandler, ResourceUpdated, ServerEvent
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS

from p2pcache import __version__
from p2pcache.hub.mcp import resources, tools
from p2pcache.hub.mcp.asking import AskError
from p2pcache.hub.mcp.mcp_caller import McpCaller
from p2pcache.hub.mcp.node_api import ApiError
from p2pcache.hub.mcp.resources import TEMPLATES, UnknownResourceError
from p2pcache.hub.mcp.tools import TOOLS, ToolError
from p2pcache.hub.mcp.untrusted import INSTRUCTIONS
from p2pcache.hub.mcp.watches import MOST_URIS, Watches, WatchLimitError

CALLS = 32
"""Calls and reads at a time; more wait for their turn."""
LISTEN_SECONDS = 3600.0
"""How long one subscription lasts: what its caller may read is checked at its beginning."""
IDLE_SECONDS = 1.0
"""The same where nothing is watched: lists never change here, and invented tokens are to hold no places."""
MAX_BODY = 128 << 10

Context = ServerRequestContext[Any, Any]
_STEADY = CacheHint(ttl_ms=3_600_000, scope="public")
_HINTS: dict[CacheableMethod, CacheHint] = {
    "tools/list": _STEADY,
    "prompts/list": _STEADY,
    "resources/list": _STEADY,
    "resources/templates/list": _STEADY,
}


class McpServer:
    """One server for all callers.

    Args:
        caller_from: returns a request's caller.
        watches: the watched resources, where drops are seen.
    """

    def __init__(self, caller_from: Callable[[Context], McpCaller], watches: Watches | None) -> None:
        self._caller_from = caller_from
        self._watches = watches
        self._calls = asyncio.Semaphore(CALLS)
        self._listening = ListenHandler(_Bus(watches)) if watches else None
        self.protocol: Server[Any] = Server(
            "p2pcache",
            version=__version__,
            title="GitHub through p2pcache",
            instructions=INSTRUCTIONS,
            cache_hints=_HINTS,
            get_tool_input_schema=_input_schema,
            on_list_tools=_list_tools,
            on_list_prompts=_list_prompts,
            on_call_tool=self._call,
            on_list_resources=_list_resources,
            on_list_resource_templates=_list_templates,
            on_read_resource=self._read,
            on_subscriptions_listen=self._listen if watches else None,
        )
        self.protocol.middleware.clear()  # it traces each message for an exporter that is not there

    def close(self) -> None:
        """End all subscriptions, each with its last message."""
        if self._listening:
            self._listening.close()

    async def _call(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = tools.named(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"no such tool; these are: {', '.join(tool.name for tool in TOOLS)}")
        try:
            async with self._calls:
                result = await tools.call(self._caller_from(context).api, tool, params.arguments)
        except ToolError as error:
            return types.CallToolResult(content=[types.TextContent(type="text", text=str(error))], is_error=True)
        text = msgspec.json.encode(result).decode()
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)], structured_content=result)

    async def _read(self, context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        uri = str(params.uri)
        try:
            async with self._calls:
                shown = await resources.shown(self._caller_from(context).api, uri)
        except UnknownResourceError as error:
            raise MCPError(INVALID_PARAMS, str(error), {"uri": uri[: resources.MAX_URI]}) from None
        except (AskError, ApiError) as error:
            raise MCPError(INTERNAL_ERROR, str(error)) from None
        contents = types.TextResourceContents(uri=uri, mime_type=shown.mime_type, text=shown.text, _meta=shown.about)
        return types.ReadResourceResult(contents=[contents], ttl_ms=shown.ttl_ms, cache_scope="private")

    async def _listen(
        self, context: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Serve one subscription, to those of the named resources that its caller can read now."""
        caller = self._caller_from(context)
        uris = list(dict.fromkeys(params.notifications.resource_subscriptions or ()))
        if len(uris) > MOST_URIS:
            raise MCPError(INVALID_PARAMS, f"more than {MOST_URIS} resources at a time")
        try:
            async with asyncio.timeout(tools.CALL_SECONDS):
                readable = [uri for uri in uris if await self._readable(caller, uri)]
        except TimeoutError:
            raise MCPError(INTERNAL_ERROR, "these resources could not be read in time: watch fewer") from None
        if uris and not readable:
            raise MCPError(INVALID_PARAMS, "none of these resources can be read with this token")
        assert self._watches is not None  # noqa: S101 - registered with it alone
        assert self._listening is not None  # noqa: S101
        granted = types.SubscriptionFilter(resource_subscriptions=readable or None)
        narrowed = params.model_copy(update={"notifications": granted})
        topics = {uri: resources.located(uri)[2].topics for uri in readable}
        watching = self._watches.watching(caller.digest, topics) if topics else contextlib.nullcontext()
        try:
            with watching, contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LISTEN_SECONDS if topics else IDLE_SECONDS):
                    return await self._listening(context, narrowed)
        except WatchLimitError as error:
            raise MCPError(INTERNAL_ERROR, str(error)) from None
        return types.SubscriptionsListenResult(_meta={SUBSCRIPTION_ID_META_KEY: context.request_id})

    async def _readable(self, caller: McpCaller, uri: str) -> bool:
        try:
            async with self._calls:
                await resources.shown(caller.api, uri)
        except (UnknownResourceError, AskError, ApiError):
            return False
        return True


@asynccontextmanager
async def over_http(server: McpServer) -> AsyncIterator[StreamableHTTPSessionManager]:
    """Serve over streamable HTTP without sessions; to be entered and left in one task.

    The gateway has checked Host and Origin already; the SDK's own list knows none of the gateway's other names.
    """
    manager = StreamableHTTPSessionManager(
        server.protocol,
        json_response=True,
        stateless=True,
        security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        max_request_body_size=MAX_BODY,
    )
    async with manager.run():
        yield manager


class _Bus:
    """The watches, as the SDK's listen handler takes them."""

    def __init__(self, watches: Watches) -> None:
        self._watches = watches

    async def publish(self, event: ServerEvent) -> None:
        """Publish nothing: drops do."""

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Have `listener` called with each update."""
        return self._watches.subscribe(lambda uri: listener(ResourceUpdated(uri=uri)))


def _input_schema(name: str) -> dict[str, Any] | None:
    tool = tools.named(name)
    return tool.input_schema if tool else None


async def _list_tools(_: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    return types.ListToolsResult(
        tools=[
            types.Tool(
                name=tool.name,
                description=tool.description,
                input_schema=tool.input_schema,
                output_schema=tool.output_schema,
                annotations=types.ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True)
                if tool.changes
                else types.ToolAnnotations(read_only_hint=True),
            )
            for tool in TOOLS
        ]
    )


async def _list_prompts(_: Context, __: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
    return types.ListPromptsResult(prompts=[])  # clients ask, whatever a server says that it has


async def _list_resources(_: Context, __: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
    return types.ListResourcesResult(resources=[])  # there are as many as GitHub has: the templates name them


async def _list_templates(_: Context, __: types.PaginatedRequestParams | None) -> types.ListResourceTemplatesResult:
    return types.ListResourceTemplatesResult(
        resource_templates=[
            types.ResourceTemplate(
                name=each.name, uri_template=each.uri, description=each.description, mime_type=each.mime_type
            )
            for each in TEMPLATES
        ]
    )
