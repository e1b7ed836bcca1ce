from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from p2pcache.stores.driver import StoreError
from p2pcache.stores.ipfs import pins
from p2pcache.stores.ipfs.kubo import Kubo
from p2pcache.stores.ipfs.pins import Pins
from tests.support.http_service import HttpService, http_service

NOON = 1_795_262_400.0
TODAY = "p2pcache/2026-11-21"
ADD, REMOTE = "/api/v0/pin/add", "/api/v0/pin/remote/add"


@pytest.fixture
async def daemon() -> AsyncIterator[HttpService]:
    fine = dict.fromkeys([ADD, REMOTE, "/api/v0/pin/rm", "/api/v0/pin/remote/rm", "/api/v0/pin/ls"], b"")
    async with http_service({**fine}) as service:
        yield service


@pytest.fixture
async def kubo(daemon: HttpService) -> AsyncIterator[Kubo]:
    kubo = Kubo(daemon.url, "")
    yield kubo
    await kubo.close()


def listed(*names: str) -> bytes:
    return b"".join(json.dumps({"Cid": f"cid-{name}", "Name": name}).encode() + b"\n" for name in names)


async def test_a_pin_is_named_by_its_day(kubo: Kubo, daemon: HttpService) -> None:
    await Pins(kubo, "", lambda: NOON).add("bafk")
    (asked,) = daemon.asked
    assert (asked.path, asked.values("arg"), asked.values("name")) == (ADD, ["bafk"], [TODAY])


async def test_a_block_that_is_not_kept_is_a_failure(kubo: Kubo, daemon: HttpService) -> None:
    daemon.answers[ADD] = (500, b"{}")
    with pytest.raises(StoreError):
        await Pins(kubo, "web", lambda: NOON).add("bafk")
    assert daemon.of(REMOTE) == []


async def test_a_pinning_service_gets_it_too(kubo: Kubo, daemon: HttpService) -> None:
    await Pins(kubo, "web", lambda: NOON).add("bafk")
    (asked,) = daemon.of(REMOTE)
    assert {name: asked.values(name) for name in ("arg", "name", "service", "background")} == {
        "arg": ["bafk"],
        "name": [TODAY],
        "service": ["web"],
        "background": ["true"],
    }


async def test_one_that_fails_costs_a_line_and_is_left_alone(
    kubo: Kubo, daemon: HttpService, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.answers[REMOTE] = (500, b'{"Message": "hostile words"}')
    kept = Pins(kubo, "web", lambda: NOON)
    for _ in range(5):
        await kept.add("bafk")
    assert (len(daemon.of(ADD)), len(daemon.of(REMOTE))) == (5, 3)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "ipfs: the pinning service web: an error in answer to /pin/remote/add; the daemon alone keeps blocks for now"
    ]


async def test_what_nobody_stored_again_for_a_week_goes(kubo: Kubo, daemon: HttpService) -> None:
    old = ["p2pcache/2026-11-13", "p2pcache/2025-12-31"]
    daemon.answers["/api/v0/pin/ls"] = listed(TODAY, old[0], "p2pcache/2026-11-14", "mine-p2pcache/2020-01-01", old[1])
    await Pins(kubo, "", lambda: NOON).expire()
    assert [asked.values("arg") for asked in daemon.of("/api/v0/pin/rm")] == [[f"cid-{name}"] for name in old]
    assert daemon.of("/api/v0/pin/remote/rm") == []


async def test_at_a_pinning_service_too(kubo: Kubo, daemon: HttpService) -> None:
    await Pins(kubo, "web", lambda: NOON).expire()
    gone = [asked.values("name") for asked in daemon.of("/api/v0/pin/remote/rm")]
    assert gone == [["p2pcache/2026-11-13"], ["p2pcache/2026-11-12"], ["p2pcache/2026-11-11"]]


async def test_one_node_removes_a_bounded_number(
    kubo: Kubo, daemon: HttpService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "MOST_UNPINNED", 3)
    daemon.answers["/api/v0/pin/ls"] = listed(*["p2pcache/2025-01-01"] * 5)
    await Pins(kubo, "", lambda: NOON).expire()
    assert len(daemon.of("/api/v0/pin/rm")) == 3


async def test_a_failure_leaves_them_for_the_next_node(kubo: Kubo, daemon: HttpService) -> None:
    daemon.answers["/api/v0/pin/ls"] = (500, b"{}")
    await Pins(kubo, "", lambda: NOON).expire()
    assert daemon.of("/api/v0/pin/rm") == []
