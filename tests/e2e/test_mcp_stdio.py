"""``p2pcache mcp`` with a node of its own, and with one that it is given the address of."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from mcp.shared.subscriptions import ResourceUpdated

from p2pcache.testing import StandIn
from tests.support.gateway import github
from tests.support.mcp import hub
from tests.support.mcp_process import COMMAND, SECONDS, started, variables

__all__ = ["github"]

URI = "github://repos/octo/app"


async def test_a_hub_at_an_address_shares_and_is_not_changed(github: StandIn, tmp_path: Path) -> None:
    async with hub(github.url, tmp_path) as node:
        for _ in range(2):
            async with started("--node", node.address, **variables(tmp_path)) as client:
                assert not (await client.call_tool("repository", {"repo": "octo/app"})).is_error
                assert (await client.call_tool("cache_purge", {"all": True})).is_error, "anybody may be on the loopback"
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
