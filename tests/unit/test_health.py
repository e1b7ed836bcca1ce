"""What is wrong with a node, one sentence each."""

from typing import Any
from unittest.mock import Mock

import pytest

from p2pcache.cache.disk import Disk
from p2pcache.gateway.http_upstream import HttpUpstream
from p2pcache.health import ALONE_SECONDS, Health
from p2pcache.stores.store_tier import StoreTier
from p2pcache.swarm import Swarm


def part(of: type, **has: object) -> Any:
    """What a part says of itself, without the part."""
    return Mock(of, **has)


def health(trouble: str = "", unreachable: str = "", alone: float = 0.0, expects_peers: bool = True) -> Health:
    disk, upstream = part(Disk, trouble=trouble), part(HttpUpstream, unreachable=unreachable)
    return Health(disk, (), upstream, part(Swarm, alone_for=lambda: alone), expects_peers=expects_peers)


@pytest.mark.parametrize(
    ("looked_at", "p2p", "reasons"),
    [
        pytest.param(health(), "ready", [], id="well"),
        pytest.param(health(trouble="the disk is full"), "ready", ["the disk is full"], id="disk"),
        pytest.param(health(unreachable="GitHub is away"), "ready", ["GitHub is away"], id="GitHub"),
        pytest.param(health(alone=ALONE_SECONDS), "ready", [], id="alone for a moment"),
        pytest.param(health(alone=ALONE_SECONDS + 1), "ready", ["no peer for 61 s"], id="alone"),
        pytest.param(health(alone=9999.0, expects_peers=False), "ready", [], id="a hub at night"),
        pytest.param(health(alone=9999.0), "failed: no port", ["peer to peer failed: no port"], id="no swarm"),
        pytest.param(
            Health(
                None,
                [part(StoreTier, trouble="s3: it is away")],
                part(HttpUpstream, unreachable=""),
                None,
                expects_peers=True,
            ),
            "off",
            ["s3: it is away"],
            id="a store",
        ),
        pytest.param(health("a", "c", 99.0), "ready", ["a", "no peer for 99 s", "c"], id="everything"),
        pytest.param(
            Health(None, (), part(HttpUpstream, unreachable=""), None, expects_peers=True), "off", [], id="no parts"
        ),
    ],
)
def test_reasons(looked_at: Health, p2p: str, reasons: list[str]) -> None:
    assert looked_at.reasons(p2p) == reasons
