"""A service that is down, slow, full or wrong: what its tier reports, and that it is left alone for a while."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from p2pcache.stores.bundle import seal
from p2pcache.stores.driver import Record, StoreError
from p2pcache.stores.store_tier import StoreLimits, StoreTier
from p2pcache.testing.conformance import KEYRING, make
from tests.support.stores import AWAY, PATIENT, QUICK, MemoryDriver, over, written


@pytest.mark.parametrize(
    ("failing", "limits", "why"),
    [
        (AWAY, PATIENT, "it is away"),
        (RuntimeError("secret"), PATIENT, "an unexpected failure (RuntimeError)"),
        (None, replace(QUICK, open=20.0), "no answer within 0.05 s"),
    ],
)
async def test_it_is_left_alone_after_failures(
    driver: MemoryDriver,
    caplog: pytest.LogCaptureFixture,
    failing: Exception | None,
    limits: StoreLimits,
    why: str,
) -> None:
    tier, kept = over(driver, limits), make()
    await tier.open()
    driver.failing, driver.hanging = failing, failing is None
    for _ in range(6):
        assert list(await tier.find(kept.pointer.name)) == []
        assert await tier.block(kept.pointer) is None
    assert (driver.calls["record"], driver.calls["block"]) == (3, 3)
    assert (tier.report()["state"], tier.report()["why"]) == ("open", why)
    assert tier.trouble == f"shelf: the shelf: {why}"
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == [
        f"shelf: the shelf: {why}; the cache goes on without it and tries again"
    ]
    await tier.close()


async def test_it_comes_back_by_itself(driver: MemoryDriver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = [0.0]
    tier, kept = over(driver, monotonic=lambda: now[0]), make()
    driver.failing = AWAY
    for _ in range(4):
        await tier.find(kept.pointer.name)
    driver.failing = None
    driver.shared.records[kept.pointer.name] = Record(seal(KEYRING, kept.pointer.name, [kept.pointer]) or b"", "1")
    assert list(await tier.find(kept.pointer.name)) == []
    now[0] += 2.0
    assert list(await tier.find(kept.pointer.name)) == [kept.pointer]
    assert (tier.report()["state"], tier.trouble) == ("closed", "")
    assert caplog.messages[-1] == "shelf: the shelf answers again"
    await tier.close()


async def test_what_is_wrong_for_good_is_found_out_once(driver: MemoryDriver) -> None:
    driver.failing = StoreError("the key is not valid", lasting=True)
    tier = over(driver)
    await tier.open()
    assert tier.report()["state"] == "open"
    await tier.find(make().pointer.name)
    assert driver.calls == {"open": 1}
    await tier.close()


async def test_an_opening_that_hangs_holds_nobody_up(driver: MemoryDriver) -> None:
    driver.hanging = True
    tier = over(driver, QUICK)
    await tier.open()
    assert list(await tier.find(make().pointer.name)) == []
    driver.hanging = False
    await tier.open()
    assert driver.calls["open"] > 1
    await tier.close()


async def test_a_caller_that_leaves_decides_nothing(tier: StoreTier, driver: MemoryDriver) -> None:
    driver.hanging = True
    for _ in range(5):
        driver.called.clear()
        asking = asyncio.create_task(tier.find(make().pointer.name))
        async with asyncio.timeout(20):
            await driver.called.wait()
        asking.cancel()
        await asyncio.wait([asking])
    assert tier.report()["state"] == "closed"


async def test_answers_that_come_too_late_count_as_failures(tier: StoreTier) -> None:
    for _ in range(3):
        tier.late()
    assert (tier.report()["state"], tier.report()["why"]) == ("open", "it answers more slowly than GitHub")


@pytest.mark.parametrize(("seconds", "state"), [(0.9, "closed"), (1.1, "open")])
async def test_but_not_at_once_while_it_is_opened(driver: MemoryDriver, seconds: float, state: str) -> None:
    driver.hanging = True
    now = [0.0]
    tier = over(driver, StoreLimits(open=60.0), monotonic=lambda: now[0])
    opening = asyncio.create_task(tier.open())
    await driver.called.wait()
    now[0] = seconds
    for _ in range(3):
        tier.late()
    assert tier.report()["state"] == state
    opening.cancel()
    await asyncio.wait([opening])
    await tier.close()


async def test_what_takes_nothing_is_read_all_the_same(tier: StoreTier, driver: MemoryDriver) -> None:
    kept = make("/kept")
    await tier.store(kept.pointer, kept.sealed)
    await written(tier)
    driver.full = True
    for number in range(4):
        other = make(f"/{number}", body=b"%d" % number)
        await tier.store(other.pointer, other.sealed)
        await written(tier)
    assert tier.trouble == "shelf: the shelf: it is full"
    assert list(await tier.find(kept.pointer.name)) == [kept.pointer]
    assert await tier.block(kept.pointer) == kept.sealed


async def test_what_takes_nothing_is_not_waited_for_at_the_end(driver: MemoryDriver) -> None:
    driver.failing = StoreError("the key is not valid", lasting=True)
    tier = over(driver, StoreLimits(flush=60.0))
    kept = make()
    await tier.store(kept.pointer, kept.sealed)
    await driver.called.wait()
    async with asyncio.timeout(20):
        await tier.close()
    assert tier.report()["lost"] == 1


async def test_that_it_answers_again_is_said_where_it_was_said_that_it_does_not(
    tier: StoreTier, driver: MemoryDriver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for failing in (AWAY, None) * 3:
        driver.failing = failing
        await tier.find(make().pointer.name)
    assert caplog.messages == []


async def test_a_write_that_fails_again_and_again_is_given_up(driver: MemoryDriver) -> None:
    driver.failing = AWAY
    tier, kept = over(driver), make()
    await tier.store(kept.pointer, kept.sealed)
    await written(tier)
    assert tier.report()["lost"] == 1
    await tier.close()


async def test_while_it_is_left_alone_it_uses_none_of_its_calls_up(driver: MemoryDriver) -> None:
    now = [0.0]
    tier, name = over(driver, StoreLimits(calls=80), monotonic=lambda: now[0]), make().pointer.name
    driver.failing = AWAY
    for _ in range(50):
        await tier.find(name)
    driver.failing = None
    now[0] += 2.0
    before = driver.calls["record"]
    for _ in range(10):
        await tier.find(name)
    assert driver.calls["record"] - before == 10
    await tier.close()


async def test_its_calls_are_bounded(driver: MemoryDriver) -> None:
    tier = over(driver, StoreLimits(calls=40), monotonic=lambda: 0.0)
    for number in range(30):
        await tier.find(make(f"/{number}").pointer.name)
    assert driver.calls["record"] == 10
    assert tier.report()["state"] == "closed"
    await tier.close()
