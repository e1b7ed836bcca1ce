"""A client of the Model Context Protocol over stdio, as small as the tests need: newline-delimited JSON-RPC."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

SECONDS = 30.0


class McpStdio:
    """A session with a server that runs as a child."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ids = itertools.count(1)

    async def ask(self, method: str, /, **params: object) -> dict[str, Any]:
        """The result of one request; what comes between is skipped."""
        number = next(self._ids)
        await self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while line := await self._process.stdout.readline():
                message = json.loads(line)
                if message.get("id") == number:
                    assert "error" not in message, message["error"]
                    result: dict[str, Any] = message["result"]
                    return result
        raise AssertionError("the server ended")

    async def tell(self, method: str) -> None:
        """Send a notification."""
        await self._send({"jsonrpc": "2.0", "method": method})

    async def call(self, tool: str, /, **arguments: object) -> str:
        """The text of a tool's answer, which must not be an error."""
        result = await self.ask("tools/call", name=tool, arguments=arguments)
        parts: list[dict[str, Any]] = result["content"]
        text = "".join(part.get("text", "") or json.dumps(part.get("resource", "")) for part in parts)
        assert not result.get("isError"), text
        return text

    async def _send(self, message: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        await self._process.stdin.drain()


@contextlib.asynccontextmanager
async def session(program: Path, *arguments: str, environ: Mapping[str, str]) -> AsyncIterator[McpStdio]:
    """Run a server and shake hands with it."""
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environ),
        limit=8 << 20,
    )
    client = McpStdio(process)
    try:
        info = {"name": "p2pcache-tests", "version": "1"}
        await client.ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=info)
        await client.tell("notifications/initialized")
        yield client
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
