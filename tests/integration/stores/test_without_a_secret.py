"""A node whose secret ends with it keeps nothing where nobody could read it, and says so in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pcache.node import Node
from p2pcache.settings import load

VARIABLES = {"CACHE_S3_BUCKET": "example", "CACHE_BACKENDS": "disk,s3,ipfs,actions"}
SECRET = {"CACHE_SECRET": "9f8e7d6c5b4a39281706f5e4d3c2b1a0ffeeddccbbaa99887766554433221100"}


@pytest.mark.parametrize(
    ("variables", "names", "lines"),
    [
        (
            VARIABLES,
            ["disk"],
            ["actions, ipfs, s3: no other node could read what this one would keep there: set CACHE_SECRET"],
        ),
        (VARIABLES | SECRET, ["actions", "disk", "ipfs", "s3"], []),
        (VARIABLES | SECRET | {"CACHE_SHARE": "off"}, ["disk"], []),
    ],
)
async def test_stores_of_a_node(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, variables: dict[str, str], names: list[str], lines: list[str]
) -> None:
    node = Node(load({"dir": str(tmp_path), "p2p": "false"}, variables))
    try:
        assert sorted(tier.backend.name for tier in node.library.tiers) == names
        assert [r.getMessage() for r in caplog.records if "CACHE_SECRET" in r.getMessage()] == lines
    finally:
        await node.library.close()
