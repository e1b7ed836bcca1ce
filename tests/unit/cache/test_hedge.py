from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from p2pcache.cache import hedge
from p2pcache.cache.hedge import NEAR, hedged


class Calls:
    """Calls that deliver when the test says so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self._results: dict[str, asyncio.Future[str]] = {}

    def __call__(self, name: str) -> Callable[[], Awaitable[str]]:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._results[name] = future

        async def call() -> str:
            self.begun.append(name)
            try:
                return await future
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise

        return call

    def deliver(self, name: str, result: str) -> None:
        self._results[name].set_result(result)


def good(result: str) -> bool:
    return result == "good"


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_near_is_asked_side_by_side() -> None:
    calls = Calls()
    asking = asyncio.create_task(hedged([(0.0, calls("a")), (NEAR / 2, calls("b"))], good))
    await turn()
    assert calls.begun == ["a", "b"]
    calls.deliver("b", "good")
    assert await asking == ["good"]
    assert calls.cancelled == ["a"]


async def test_what_is_far_is_asked_when_nothing_near_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hedge, "NEAR", 20.0)  # what is near is waited for, however slow this machine is
    calls = Calls()
    asking = asyncio.create_task(hedged([(0.0, calls("a")), (30.0, calls("b")), (30.0, calls("c"))], good))
    await turn()
    assert calls.begun == ["a"]
    calls.deliver("a", "bad")
    await turn()
    assert calls.begun == ["a", "b"]
    calls.deliver("b", "good")
    assert await asking == ["bad", "good"]
    assert calls.begun == ["a", "b"]


async def test_what_is_far_is_asked_when_what_is_near_takes_too_long() -> None:
    calls = Calls()
    asking = asyncio.create_task(hedged([(0.0, calls("a")), (30.0, calls("b"))], good))
    await turn()
    async with asyncio.timeout(20):
        while "b" not in calls.begun:  # noqa: ASYNC110 - after a few milliseconds of the real clock
            await asyncio.sleep(0)
    calls.deliver("a", "bad")
    await turn()
    assert not asking.done(), "the other one may be good"
    calls.deliver("b", "bad")
    assert await asking == ["bad", "bad"]


async def test_one_call_is_just_made() -> None:
    calls = Calls()
    asking = asyncio.create_task(hedged([(30.0, calls("a"))], good))
    await turn()
    calls.deliver("a", "bad")
    assert await asking == ["bad"]


async def test_who_is_cancelled_cancels_what_is_under_way() -> None:
    calls = Calls()
    asking = asyncio.create_task(hedged([(0.0, calls("a")), (0.0, calls("b"))], good))
    await turn()
    asking.cancel()
    await asyncio.wait([asking])
    await turn()
    assert calls.cancelled == ["a", "b"]


async def test_those_side_by_side_wait_for_each_other_a_moment() -> None:
    calls = Calls()
    near = [(0.0, calls("a")), (0.0, calls("b")), (30.0, calls("c"))]
    asking = asyncio.create_task(hedged(near, good, grace=30.0))
    await turn()
    calls.deliver("b", "good")
    await turn()
    assert not asking.done(), "the one before it may be good as well"
    calls.deliver("a", "good")
    assert await asking == ["good", "good"]
    assert calls.begun == ["a", "b"]
