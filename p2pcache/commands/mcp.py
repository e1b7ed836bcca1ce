"""``p2pcache mcp``: MCP on stdin and stdout, through the node that runs or one of its own."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from p2pcache.commands.console import fail, note
from p2pcache.commands.inspect import found_socket
from p2pcache.gateway.routing import split_port
from p2pcache.hub.mcp import MISSING, installed
from p2pcache.hub.mcp.remote_api import RemoteApi
from p2pcache.hub.mcp.watches import Watches
from p2pcache.keys import TOKEN_HINT
from p2pcache.runner import watch
from p2pcache.settings import ClientSettings


def mcp(node: str | None, directory: str | None) -> None:
    """Serve until stdin ends; exit 2 on an address that cannot be used, or without the packages."""
    if not installed():
        fail(MISSING, 2)
    watch.conceal()
    client = ClientSettings.from_env()
    where: Path | str | None
    if node is not None:
        where = _address(node)
    else:
        socket = found_socket(directory)
        where = Path(socket) if socket else None
    if client.token is None:
        note(f"no GITHUB_TOKEN: without a token GitHub shows what is public, 60 calls an hour; {TOKEN_HINT}")
    if where is not None:
        uvloop.run(serve_through(where, client, None))
    else:
        from p2pcache.commands.mcp_node import with_own_node  # a whole node is a second that the others do not need

        with_own_node(directory, client)


async def serve_through(where: Path | str, client: ClientSettings, watches: Watches | None) -> None:
    """Serve through the node at this socket or URL; `watches` where its drops are seen in this process."""
    from p2pcache.hub.mcp.sdk_stdio import serve_stdio  # half a second, after all that can be wrong

    async with RemoteApi(where, client.token, client.control_token) as api:
        await serve_stdio(api, watches)


def _address(node: str) -> str:
    try:
        parts = urlsplit(node)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/") and not parts.query
        host = parts.hostname if usable and parts.port != 0 else None
    except ValueError:
        host = None
    if host is None:
        fail(f"--node {node[:120]!r}: expected the URL of a node, e.g. http://127.0.0.1:4000", 2)
    if node.startswith("http://") and split_port(host) not in ("127.0.0.1", "localhost", "::1"):
        note(f"--node {node}: your token goes there unencrypted: name an https address where others can listen")
    return node
