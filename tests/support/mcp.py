"""An API that answers as a test says, for the MCP tools; and a hub with its MCP endpoint."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from p2pcache.cache.sealing import generate_secret
from p2pcache.hub.mcp import tools
from p2pcache.hub.mcp.node_api import ApiAnswer
from p2pcache.hub.mcp.tools import ToolError
from p2pcache.node import Node
from p2pcache.settings import Listen, Secret, Settings
from tests.support.gateway import TOKEN

SECRET = generate_secret()
HIT = "p2pcache; hit; ttl=42; detail=memory"


class ScriptedApi:
    """Gives each target what was set for it, and keeps what was asked."""

    authorised = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.bodies: list[bytes | None] = []
        self._answers: dict[str, ApiAnswer] = {}

    def answers(self, target: str, value: Any, status: int = 200, **fields: str) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        kind = "application/octet-stream" if isinstance(value, bytes) else "application/json"
        headers = {"content-type": kind, "cache-status": HIT, "age": "18"}
        named = {name.replace("_", "-"): text for name, text in fields.items()}
        self._answers[target] = ApiAnswer(status, {**headers, **named}, body)

    async def github(self, target: str, body: bytes | None = None) -> ApiAnswer:
        self.asked.append(target)
        self.bodies.append(body)
        missing = ApiAnswer(404, {}, b'{"message": "Not Found"}')
        return self._answers.get(target, missing)

    control = github


async def call(api: ScriptedApi, name: str, **arguments: Any) -> dict[str, Any]:
    tool = tools.named(name)
    assert tool is not None
    return await tools.call(api, tool, arguments)


async def refused(api: ScriptedApi, name: str, **arguments: Any) -> str:
    with pytest.raises(ToolError) as caught:
        await call(api, name, **arguments)
    return str(caught.value)


def file(content: bytes, **fields: Any) -> dict[str, Any]:
    """A file as GitHub's contents API gives it."""
    encoded = base64.encodebytes(content).decode()
    given = {"type": "file", "encoding": "base64", "size": len(content), "sha": "ab12", "content": encoded}
    return {**given, **fields}


@asynccontextmanager
async def hub(upstream: str, directory: Path, **settings: Any) -> AsyncIterator[Node]:
    """A hub on free ports of the loopback, with a token of its own."""
    given = {"token": Secret(TOKEN), "listen": Listen(), "socket": directory / "s", **settings}
    node = Node(
        Settings(
            upstream=upstream,
            directory=directory,
            p2p_listen="/ip4/127.0.0.1/tcp/0",
            hub=True,
            secrets=(Secret(SECRET),),
            **given,
        )
    )
    async with node:
        yield node
