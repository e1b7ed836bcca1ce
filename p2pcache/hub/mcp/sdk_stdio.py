"""MCP on stdin and stdout, for the user of this process."""

from __future__ import annotations

from mcp.server.stdio import stdio_server

from p2pcache.hub.mcp.mcp_caller import McpCaller, digest_of
from p2pcache.hub.mcp.node_api import NodeApi
from p2pcache.hub.mcp.sdk import McpServer
from p2pcache.hub.mcp.watches import Watches


async def serve_stdio(api: NodeApi, watches: Watches | None) -> None:
    """Serve until stdin ends; `watches` where drops are seen in this process."""
    caller = McpCaller(api, digest_of(None))
    server = McpServer(lambda _: caller, watches).protocol
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())
