"""The addresses that a node announces, and those at which a member is dialled."""

from __future__ import annotations

import pytest

from p2pcache.addresses import parse
from p2pcache.swarm.rules.multiaddrs import announced, proved


@pytest.mark.parametrize(
    ("listen", "interfaces", "told"),
    [
        ("/ip4/10.0.0.5/tcp/1", ["192.168.0.1"], ["/ip4/10.0.0.5/tcp/1"]),
        (
            "/ip4/0.0.0.0/tcp/1",
            ["127.0.0.1", "192.168.0.1", "fd00::2", "169.254.1.1", "172.17.0.1"],
            ["/ip4/192.168.0.1/tcp/1", "/ip4/172.17.0.1/tcp/1"],
        ),
        ("/ip4/0.0.0.0/tcp/1", ["127.0.0.1"], ["/ip4/127.0.0.1/tcp/1"]),
        ("/ip6/::/tcp/1", ["127.0.0.1", "fe80::1", "fd00::2"], ["/ip6/fd00::2/tcp/1"]),
        ("/ip4/0.0.0.0/tcp/1", [], []),
    ],
    ids=["as given", "wildcard", "loopback only", "IPv6", "none"],
)
def test_announced(listen: str, interfaces: list[str], told: list[str]) -> None:
    assert [str(each) for each in announced(parse(listen), interfaces)] == told


@pytest.mark.parametrize(
    ("seen", "dialled", "claimed", "found"),
    [
        ("/ip4/10.0.0.1/tcp/40000", False, ["/ip4/10.0.0.1/tcp/9000"], ["/ip4/10.0.0.1/tcp/9000"]),
        ("/ip4/10.0.0.1/tcp/40000", False, ["/ip4/10.0.0.2/tcp/9000", "/dns4/x.org/tcp/22", "no address"], []),
        ("/ip4/10.0.0.1/tcp/40000", False, ["/ip4/10.0.0.1/tcp/1/p2p/12D3KooW" + "A" * 44], ["/ip4/10.0.0.1/tcp/1"]),
        ("/ip4/127.0.0.1/tcp/40000", False, ["/ip4/192.168.7.7/tcp/1"], ["/ip4/192.168.7.7/tcp/1"]),
        ("/dns4/hub/tcp/9100", True, ["/ip4/10.0.0.2/tcp/9100"], ["/dns4/hub/tcp/9100"]),
        (
            "/ip4/10.0.0.1/tcp/1",
            True,
            ["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/2"],
            ["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/2"],
        ),
    ],
    ids=["where it came from", "elsewhere", "with its id", "this machine", "where it was dialled", "both"],
)
def test_a_member_is_where_it_has_shown_itself(seen: str, dialled: bool, claimed: list[str], found: list[str]) -> None:
    assert proved(seen, dialled, claimed, ["127.0.0.1", "192.168.7.7"]) == tuple(found)
