"""The workflows and the agents' files of examples/, as they are; tests/integration/clients tries the programs."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from p2pcache.testing import StandIn as InProcess
from tests.e2e.conftest import ROOT, Hub, Run, StandIn
from tests.support import gateway
from tests.support.mcp import hub as mcp_hub
from tests.support.mcp_process import SECONDS
from tests.support.processes import GitHub

# A stand-in in this process, beside the one that the workflows ask.
inside = gateway.github

EXAMPLES = ROOT / "examples"
TOOLKIT = (ROOT / "tests/node/node_modules/@actions/github/lib/github.js").as_uri()
SHARDS = 4
under_act = pytest.mark.needs("act", "node", "gh", "curl", "jq")


@pytest.fixture
def workflow(act: Callable[..., Run], github: StandIn, tmp_path: Path) -> Callable[..., Run]:
    """Run a workflow of examples/ to its good end."""
    stub = tmp_path / "github-script"
    stub.mkdir()
    shutil.copy(Path(__file__).parent / "github-script.yml", stub / "action.yml")
    shutil.copy(Path(__file__).parent / "github-script.js", stub / "index.js")

    def run(name: str, *flags: str) -> Run:
        given = (
            "-P", "self-hosted=-self-hosted", "--local-repository", f"actions/github-script@v8={stub}",
            "--env", f"TOOLKIT={TOOLKIT}", "--env", f"GITHUB_API_URL={github.url}",
            "--env", f"GITHUB_GRAPHQL_URL={github.url}/graphql",
        )  # fmt: skip
        done = act((EXAMPLES / name).read_text(), *given, *flags)
        assert done.code == 0, done.log
        assert "::warning" not in done.log, done.log
        return done

    return run


@under_act
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["self-hosted/workflow.yml", "workflow.yml"])
def test_the_jobs_of_a_host_ask_once(
    name: str, workflow: Callable[..., Run], hub: Callable[..., AbstractContextManager[Hub]], github: StandIn
) -> None:
    with hub() as there:
        secret = ("-s", f"CACHE_SECRET={there.secret}")
        run = workflow(name, *secret, "--env", f"CACHE_BOOTSTRAP_PEERS=/tcp/{there.port}")
    assert run.log.count("API calls saved") >= SHARDS
    paths = [target.partition("?")[0] for method, target in GitHub(github.url).calls() if method == "GET"]
    releases = [path for path in paths if path.endswith("/releases")]
    assert len(releases) < SHARDS, "they shared what one of them fetched"


@under_act
@pytest.mark.timeout(400)
def test_the_jobs_of_githubs_own_runners_share_through_the_actions_cache(
    workflow: Callable[..., Run], tmp_path: Path
) -> None:
    store = tmp_path / "cache-store"
    store.mkdir()
    flags = ("-s", f"CACHE_SECRET={secrets.token_hex(32)}", "--env", f"CACHE_STUB={store}")
    run = workflow("github-hosted/workflow.yml", *flags)
    assert run.log.count("Job succeeded") == SHARDS
    assert len(list(store.iterdir())) == 1, "one store a run"


@under_act
def test_github_script_asks_through_the_cache(workflow: Callable[..., Run], github: StandIn) -> None:
    run = workflow("github-script/workflow.yml", "-s", f"CACHE_SECRET={secrets.token_hex(32)}")
    assert sum(line.endswith(("Z main", "Z topic-1")) for line in run.lines) == 2, run.log
    assert run.saved[1] == 3


def servers(name: str, token: str) -> dict[str, Any]:
    """The servers of an agent's file; the agent puts the variables in."""
    text = (EXAMPLES / "agents" / name).read_text().replace("${GITHUB_TOKEN}", token)
    found: dict[str, Any] = json.loads(text)["mcpServers"]
    return found


async def test_an_agent_with_the_file_on_stdio(inside: InProcess, tmp_path: Path) -> None:
    server = servers(".mcp.json", gateway.TOKEN)["github"]
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environ = {"PATH": path, "HOME": str(tmp_path), "CACHE_UPSTREAM": inside.url, "CACHE_ENABLE_P2P": "false"}
    command = StdioServerParameters(command=server["command"], args=server["args"], env=environ | server["env"])
    async with asyncio.timeout(SECONDS), Client(command) as client:
        assert not (await client.call_tool("repository", {"repo": "octo/app"})).is_error
    assert [call.target for call in inside.calls] == ["/repos/octo/app"]


async def test_an_agent_with_the_file_for_a_hub(inside: InProcess, tmp_path: Path) -> None:
    server = servers("hub.mcp.json", gateway.TOKEN)["github"]
    async with mcp_hub(inside.url, tmp_path) as node:
        url = server["url"].replace("http://127.0.0.1:4000", node.address)
        async with (
            httpx2.AsyncClient(headers=server["headers"], timeout=gateway.LIMIT) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            assert not (await client.call_tool("repository", {"repo": "octo/app"})).is_error
