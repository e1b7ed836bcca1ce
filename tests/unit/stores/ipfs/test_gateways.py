"""One gateway that refuses, fails or hangs keeps no other from being asked, and the store from being used."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from p2pcache.stores.driver import StoreError
from p2pcache.stores.ipfs.gateways import FAILURES, FIRST_SECONDS, Gateways
from p2pcache.stores.ipfs.trustless import TrustlessGateway

SECONDS = 10.0
BLOCK = b"block"


class Gateway(TrustlessGateway):
    """Has a block, or fails, or hangs."""

    def __init__(self, name: str, block: bytes | None = None, failing: StoreError | None = None) -> None:
        super().__init__(f"https://{name}")
        self.has, self.failing, self.hangs = block, failing, False
        self.asked = 0

    async def block(self, cid: str, most: int) -> bytes | None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.failing:
            raise self.failing
        return self.has


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def refusing() -> Gateway:
    return Gateway("first", failing=StoreError("HTTP 403"))


def failing() -> Gateway:
    return Gateway("first", failing=StoreError("HTTP 500"))


def hanging() -> Gateway:
    gateway = Gateway("first")
    gateway.hangs = True
    return gateway


async def first(gateways: Gateways, *others: Coroutine[Any, Any, bytes | None]) -> bytes | None:
    found = gateways.first(lambda gateway: gateway.block("bafk", 100), lambda block: block == BLOCK, *others)
    return await asyncio.wait_for(found, SECONDS)


async def late(gateways: Gateways) -> None:
    """Ask, and wait no longer once every gateway was asked."""
    asking = asyncio.create_task(first(gateways))
    for _ in range(10):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("spared", [True, False], ids=["a daemon's", "alone"])
@pytest.mark.parametrize("bad", [refusing, failing, hanging])
async def test_one_that_does_not_work_keeps_no_other_from_being_asked(bad: Any, spared: bool) -> None:
    gateways = Gateways([bad(), Gateway("second", BLOCK)], spared=spared)
    for _ in range(5):
        assert await first(gateways) == BLOCK


@pytest.mark.parametrize("bad", [refusing, failing])
async def test_one_that_fails_is_no_failure_of_the_store_and_one_line_of_the_log(
    bad: Any, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    gateway, lacking = bad(), Gateway("second")
    gateways = Gateways([gateway, lacking], spared=False, monotonic=clock)
    for _ in range(5):
        assert await first(gateways) is None
    assert (gateway.asked, lacking.asked) == (FAILURES, 5)
    assert caplog.messages == [f"ipfs: the gateway https://first: {gateway.failing}; it is left alone for now"]
    gateway.failing, gateway.has = None, BLOCK
    clock.now = FIRST_SECONDS
    assert await first(gateways) == BLOCK


@pytest.mark.parametrize("spared", [True, False], ids=["a daemon's", "alone"])
async def test_one_that_keeps_look_ups_waiting_is_left_alone(spared: bool, caplog: pytest.LogCaptureFixture) -> None:
    gateway = hanging()
    gateways = Gateways([gateway, Gateway("second")], spared=spared)
    for _ in range(FAILURES):
        await late(gateways)
    assert await first(gateways) is None
    assert gateway.asked == FAILURES
    assert caplog.messages == [
        "ipfs: the gateway https://first: it answers more slowly than the others; it is left alone for now"
    ]


async def test_where_all_are_late_none_is_to_blame(caplog: pytest.LogCaptureFixture) -> None:
    one, two = hanging(), hanging()
    gateways = Gateways([one, two], spared=False)
    for _ in range(FAILURES + 1):
        await late(gateways)
    assert one.asked == two.asked == FAILURES + 1
    assert caplog.messages == []


async def test_one_that_loses_is_not_late() -> None:
    slow = hanging()
    gateways = Gateways([slow, Gateway("second", BLOCK)], spared=True)
    for _ in range(FAILURES + 2):
        assert await first(gateways) == BLOCK
    assert slow.asked == FAILURES + 2


async def test_where_all_fail_the_store_does() -> None:
    gateways = Gateways([failing(), failing()], spared=False)
    for _ in range(FAILURES + 2):
        with pytest.raises(StoreError, match="HTTP 500"):
            await first(gateways)


async def test_a_daemons_gateways_may_fail_and_the_daemon_may_not() -> None:
    async def away() -> bytes | None:
        raise StoreError("it is away")

    gateways = Gateways([failing()], spared=True)
    assert await first(gateways) is None
    with pytest.raises(StoreError, match="it is away"):
        await first(gateways, away())
    with pytest.raises(StoreError, match="it is away"):
        await first(Gateways([Gateway("second")], spared=True), away())


async def test_the_failures_of_a_single_one_are_the_stores(caplog: pytest.LogCaptureFixture) -> None:
    gateway = failing()
    gateways = Gateways([gateway], spared=False)
    for _ in range(FAILURES + 2):
        with pytest.raises(StoreError, match="HTTP 500"):
            await first(gateways)
    assert gateway.asked == FAILURES + 2
    assert caplog.messages == [], "the store has its own line"


async def test_other_bytes_are_the_callers_to_refuse() -> None:
    assert await first(Gateways([Gateway("liar", b"other"), Gateway("second")], spared=True)) == b"other"
    assert await first(Gateways([Gateway("liar", b"other"), Gateway("second", BLOCK)], spared=True)) == BLOCK
