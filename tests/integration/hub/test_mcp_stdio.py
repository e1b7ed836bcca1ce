"""``p2pcache mcp``: the process that an editor starts, with the node that runs, or one of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from mcp import Client, StdioServerParameters
from mcp.shared.subscriptions import ResourceUpdated

from p2pcache.commands import mcp as command
from p2pcache.commands.mcp import _address
from p2pcache.hub import mcp
from p2pcache.hub.mcp.node_api import ApiError
from p2pcache.hub.mcp.remote_api import RemoteApi
from p2pcache.testing import StandIn
from tests.support.gateway import TOKEN
from tests.support.mcp import hub

COMMAND = (sys.executable, "-m", "p2pcache", "mcp")
SECONDS = 40
URI = "github://repos/octo/app"
ACCEPT = {"authorization": f"token {TOKEN}", "accept": "application/vnd.github+json"}


def variables(home: Path, **given: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "GITHUB_TOKEN": TOKEN, **given}


@asynccontextmanager
async def started(*arguments: str, **environ: str) -> AsyncIterator[Client]:
    parameters = StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], *arguments], env=environ)
    async with asyncio.timeout(SECONDS), Client(parameters) as client:
        yield client


async def test_runner_hub_and_editor_make_one_call(github: StandIn, tmp_path: Path) -> None:
    sources = []
    async with hub(github.url, tmp_path) as node:
        async with (
            aiohttp.ClientSession(headers=ACCEPT) as http,
            http.get(f"{node.address}/repos/octo/app") as runner,
        ):
            assert runner.status == 200
        async with Client(f"{node.address}/-/mcp") as client:
            sources.append(await client.call_tool("repository", {"repo": "octo/app"}))
        async with started(**variables(tmp_path, P2PCACHE_SOCKET=str(node.socket))) as client:
            assert client.protocol_version == "2026-07-28"
            sources.append(await client.call_tool("repository", {"repo": "octo/app"}))
            purged = await client.call_tool("cache_purge", {"path": "/repos/octo/lib"})
            assert not purged.is_error, "its user asks, over its socket"
        async with started("--node", node.address, **variables(tmp_path)) as client:
            sources.append(await client.call_tool("repository", {"repo": "octo/app"}))
            assert (await client.call_tool("cache_purge", {"all": True})).is_error, "anybody may be on the loopback"
    assert [found.structured_content["source"] for found in sources if found.structured_content] == ["memory"] * 3
    assert [call.target for call in github.calls] == ["/repos/octo/app"]


async def test_without_a_node_it_starts_one_and_pushes_its_drops(github: StandIn, tmp_path: Path) -> None:
    environ = variables(tmp_path, CACHE_UPSTREAM=github.url, CACHE_ENABLE_P2P="false")
    async with started(**environ) as client:
        first = await client.call_tool("repository", {"repo": "octo/app"})
        assert first.structured_content is not None
        assert (first.structured_content["source"], first.structured_content["charged"]) == ("github", 1)
        async with client.listen(resource_subscriptions=[URI]) as updates:
            await client.call_tool("cache_purge", {"path": "/repos/octo/app"})
            update = await anext(aiter(updates))
            assert isinstance(update, ResourceUpdated)
            assert update.uri == URI
        read = await client.read_resource(URI)
        assert read.ttl_ms > 50_000


def test_a_signal_ends_its_own_node_and_removes_what_it_made(tmp_path: Path) -> None:
    environ = variables(tmp_path, CACHE_ENABLE_P2P="false", TMPDIR=str(tmp_path), CACHE_LOG_LEVEL="info")
    process = subprocess.Popen(
        COMMAND, env=environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stderr is not None
    with process:
        said = next(iter(process.stderr))  # the node has started: why it works alone
        assert "p2pcache:" in said
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 128 + signal.SIGTERM
    assert [*tmp_path.glob("p2pcache-*")] == []


@pytest.mark.parametrize(
    "node", ["nonsense", "ftp://hub", "http://", "http://hub/path", "http://hub:x", "http://[", ""]
)
def test_an_address_that_is_none_is_a_sentence(tmp_path: Path, node: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _address(node)
    assert ended.value.code == 2
    assert "expected the URL of a node" in capfd.readouterr().err


def test_a_token_in_the_clear_is_mentioned(capfd: pytest.CaptureFixture[str]) -> None:
    _address("http://127.0.0.1:4000")
    _address("https://hub.example")
    assert capfd.readouterr().err == ""
    _address("http://hub.example:9100")
    assert "unencrypted" in capfd.readouterr().err


def test_without_its_packages_a_sentence_says_which(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "installed", lambda: False)
    with pytest.raises(SystemExit) as ended:
        command.mcp(None, None)
    assert ended.value.code == 2
    assert mcp.MISSING in capfd.readouterr().err


async def test_a_node_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    for where in ("http://127.0.0.1:1", tmp_path / "no.sock"):
        async with RemoteApi(where, None) as api:
            with pytest.raises(ApiError, match="does not answer"):
                await api.github("/repos/octo/app")
