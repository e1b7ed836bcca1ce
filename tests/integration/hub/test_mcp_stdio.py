"""``p2pcache mcp``: the process that an editor starts, through the node that runs."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from mcp import Client

from p2pcache.commands import mcp as command
from p2pcache.commands.mcp import _address
from p2pcache.hub import mcp
from p2pcache.hub.mcp.node_api import ApiError
from p2pcache.hub.mcp.remote_api import RemoteApi
from p2pcache.testing import StandIn
from tests.support.gateway import TOKEN
from tests.support.mcp import hub
from tests.support.mcp_process import started, variables

ACCEPT = {"authorization": f"token {TOKEN}", "accept": "application/vnd.github+json"}


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
    assert [found.structured_content["source"] for found in sources if found.structured_content] == ["memory"] * 2
    assert [call.target for call in github.calls] == ["/repos/octo/app"]


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
