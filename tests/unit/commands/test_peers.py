"""The table of ``p2pcache peers``: what fits a terminal, and the reasons below it."""

import time

import pytest

from p2pcache.commands.peers import COLUMNS, table

PEER = "12D3KooWGSuQVpNnG2vkMXiKtfNqhSqmw8dw7mEwbmVoDKgq1Ab2"


def row(**changes: str | float | None) -> dict[str, str | float | None]:
    found: dict[str, str | float | None] = {
        "peer_id": PEER,
        "address": "/ip4/172.17.0.1/tcp/9100",
        "direction": "out",
        "via": "direct",
        "since": time.time() - 60,
        "rtt_ms": 1.26,
        "blocks_in": 4,
        "bytes_in": 999,
        "bytes_out": 12_345_678,
        "announced": 7,
        "state": "hub",
        "reason": "",
    }
    return {**found, **changes}


WIDE = row(
    address="/ip6/2001:db8:1111:2222:3333:4444:5555:6666/tcp/65535",
    state="relayed",
    rtt_ms=12345.6,
    bytes_in=999_900_000,
    bytes_out=123_456_000_000,
)


def test_a_row_says_who_where_since_when_and_how_much() -> None:
    head, line = table([row()])
    assert head.split() == ["peer", "address", "state", "since", "rtt", "received", "sent"]
    for part in ("DKgq1Ab2", "172.17.0.1:9100", "hub out", "1 ms", "999 B", "12.3 MB"):
        assert part in line


@pytest.mark.parametrize("rows", [[row()], [WIDE], [row(), WIDE, row(address="", since=0.0, rtt_ms=None)]])
def test_it_fits_a_terminal(rows: list[dict[str, str | float | None]]) -> None:
    assert max(len(line) for line in table(rows)) <= COLUMNS


def test_why_one_was_refused_stands_below() -> None:
    reason = "the swarm secrets differ: set the same CACHE_SECRET on both nodes"
    *lines, last = table([row(state="refused", reason=reason), row()])
    assert len(lines) == 3
    assert last.startswith("DKgq1Ab2 refused at ")
    assert last.endswith(reason)


def test_what_is_known_by_its_address_alone_is_named_by_it() -> None:
    last = list(table([row(peer_id="", since=0.0, state="unreached", reason="nothing listens there")]))[-1]
    assert last == "172.17.0.1:9100 unreached: nothing listens there"


def test_a_reason_that_several_share_is_said_once() -> None:
    reason = "the swarm secrets differ: set the same CACHE_SECRET on both nodes"
    refused = row(state="refused", reason=reason)
    said = list(table([refused, {**refused, "peer_id": ""}, refused, row(state="dropped", reason="it went")]))[5:]
    assert [line.partition(" at ")[0] for line in said] == ["DKgq1Ab2, 172.17.0.1:9100 refused", "DKgq1Ab2 dropped"]


def test_yesterday_is_a_date() -> None:
    line = list(table([row(since=time.time() - 2 * 86_400)]))[1]
    assert ":" not in line.replace("172.17.0.1:9100", "")
