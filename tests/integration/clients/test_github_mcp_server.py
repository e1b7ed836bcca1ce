"""GitHub's own github-mcp-server over the gateway, unchanged: asked a second time, it costs GitHub nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from p2pcache.node import Node
from p2pcache.testing import StandIn
from tests.support.gateway import LIMIT, TOKEN, github, node
from tests.support.mcp_stdio import McpStdio, session
from tests.support.programs import program

__all__ = ["github", "node"]

pytestmark = pytest.mark.needs("github-mcp-server")

FINE_GRAINED = "github_pat_" + "a" * 60
APP = {"owner": "octo", "repo": "app"}


def environment(node: Node, home: Path) -> dict[str, str]:
    return {"GITHUB_HOST": "http://github.p2pcache.internal", "HTTP_PROXY": node.address, "HOME": str(home)}


@pytest.fixture
async def server(node: Node, tmp_path: Path) -> AsyncIterator[McpStdio]:
    environ = environment(node, tmp_path) | {"GITHUB_PERSONAL_ACCESS_TOKEN": TOKEN}
    toolsets = "repos,issues,pull_requests,actions"
    async with session(
        program("github-mcp-server"), "stdio", "--read-only", "--toolsets", toolsets, environ=environ
    ) as client:
        yield client


@contextlib.asynccontextmanager
async def over_http(home: Path, node: Node) -> AsyncIterator[str]:
    """The URL of one that listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    where = ("http", "--listen-host", "127.0.0.1", "--port", str(port), "--read-only")
    process = await asyncio.create_subprocess_exec(
        program("github-mcp-server"),
        *where,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment(node, home),
    )
    try:
        async with asyncio.timeout(LIMIT):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        await process.wait()


CALLS = [
    ("list_commits", {}, "sha"),
    ("list_pull_requests", {}, "number"),
    ("list_branches", {}, "topic-1"),
    ("list_releases", {}, "v1.0.0"),
    ("actions_list", {"method": "list_workflow_runs"}, "workflow_runs"),
    ("get_file_contents", {"path": "README.md"}, "README.md"),
    ("list_issues", {}, "issues"),
]


async def test_what_it_reads_is_asked_of_github_once(server: McpStdio, github: StandIn) -> None:
    for tool, arguments, shown in CALLS:
        github.reset_calls()
        first = await server.call(tool, **APP, **arguments)
        assert shown in first
        assert github.calls, tool
        github.reset_calls()
        assert await server.call(tool, **APP, **arguments) == first
        assert github.calls == [], tool


async def test_a_search_is_answered_and_never_kept(server: McpStdio, github: StandIn) -> None:
    """GitHub marks searches no-cache, and gives them no validator."""
    for _ in range(2):
        github.reset_calls()
        found = json.loads(await server.call("search_code", query="repo:octo/app app"))
        assert found["total_count"] > 0
        assert len(github.calls) == 1


@pytest.mark.parametrize("at", ["", "/refs/heads/main", "/sha/{sha}"])
async def test_its_resources_are_files_as_they_are(server: McpStdio, github: StandIn, node: Node, at: str) -> None:
    tip = json.loads(await server.call("list_commits", **APP))[0]["sha"]
    uri = f"repo://octo/app{at.format(sha=tip)}/contents/README.md"
    github.reset_calls()
    first = await server.ask("resources/read", uri=uri)
    assert [call.target.split("/")[1] for call in github.calls] == ["raw"]
    (content,) = first["contents"]
    assert content["mimeType"] == "text/markdown"
    assert content["text"].startswith("#")
    github.reset_calls()
    assert await server.ask("resources/read", uri=uri) == first
    assert github.calls == []


async def test_over_http_each_caller_brings_a_token(node: Node, github: StandIn, tmp_path: Path) -> None:
    github.token(FINE_GRAINED, repos=["octo/app"])
    listed = {"name": "list_commits", "arguments": {**APP, "perPage": 1}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": listed}
    fields = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {FINE_GRAINED}"}
    async with over_http(tmp_path, node) as url, aiohttp.ClientSession() as client:
        answers = []
        for _ in range(2):
            github.reset_calls()
            async with client.post(url, json=message, headers=fields) as answer:
                answers.append((answer.status, await answer.text(), len(github.calls)))
    assert '"sha' in answers[0][1]
    assert answers[1] == (200, answers[0][1], 0)
    assert answers[0][2] == 1
