"""Between asyncio and trio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio

from p2pcache.swarm.bridge import Bridge, BridgeClosed


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    made = Bridge()
    ready = asyncio.Event()

    async def main() -> None:
        made.post_back(ready.set)
        await trio.sleep_forever()

    made.start(main)
    await ready.wait()
    yield made
    assert await made.stop(5.0)


async def test_values_and_exceptions_cross(bridge: Bridge) -> None:
    async def double(number: int) -> int:
        await trio.lowlevel.checkpoint()
        assert threading.current_thread().name == "p2pcache-swarm"
        return 2 * number

    async def fail() -> None:
        raise ZeroDivisionError

    assert await asyncio.gather(*(bridge.call(double, n) for n in range(100))) == [2 * n for n in range(100)]
    with pytest.raises(ZeroDivisionError):
        await bridge.call(fail)


async def test_the_other_way_too(bridge: Bridge) -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    async def fail() -> None:
        raise ZeroDivisionError

    async def give_up() -> None:
        raise asyncio.CancelledError

    async def there(work: Callable[..., Awaitable[int]], *args: int) -> int:
        return await bridge.ask(work, *args)

    assert await bridge.call(there, double, 21) == 42
    with pytest.raises(ZeroDivisionError):
        await bridge.call(there, fail)
    with pytest.raises(BridgeClosed):
        await bridge.call(there, give_up)


async def test_who_stops_waiting_stops_the_work(bridge: Bridge) -> None:
    events = []
    began = asyncio.Event()

    async def work() -> None:
        bridge.post_back(began.set)
        try:
            await trio.sleep_forever()
        finally:
            events.append("stopped")

    task = asyncio.ensure_future(bridge.call(work))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def settled() -> None:
        while not events:  # noqa: ASYNC110  # another thread or process: nothing to wait on
            await trio.sleep(0.001)

    await asyncio.wait_for(bridge.call(settled), 5)


async def test_the_other_way_it_is_stopped_too(bridge: Bridge) -> None:
    began, stopped = threading.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    async def impatient() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.ask, work)
            while not began.is_set():  # noqa: ASYNC110  # another thread or process: nothing to wait on
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()

    await bridge.call(impatient)
    await asyncio.wait_for(stopped.wait(), 5)


async def test_an_answer_that_nobody_waits_for_any_more(bridge: Bridge) -> None:
    gate = threading.Event()

    async def stubborn() -> int:
        gate.wait(5)  # cannot be cancelled, as the last moments of any work
        return 1

    async def stubborn_failure() -> None:
        gate.wait(5)
        raise ZeroDivisionError

    for work in (stubborn, stubborn_failure):
        gate.clear()
        task = asyncio.ensure_future(bridge.call(work))
        await asyncio.sleep(0)
        task.cancel()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    await bridge.call(trio.sleep, 0)


async def test_a_side_that_is_gone() -> None:
    bridge = Bridge()
    with pytest.raises(BridgeClosed):
        await bridge.call(trio.sleep, 0)
    assert await bridge.stop(1.0)
    ready = asyncio.Event()

    async def main() -> None:
        bridge.post_back(ready.set)
        await trio.sleep_forever()

    finished = bridge.start(main)
    await ready.wait()
    waiting = asyncio.ensure_future(bridge.call(trio.sleep_forever))
    await bridge.call(trio.sleep, 0)
    assert await bridge.stop(5.0)
    with pytest.raises(BridgeClosed):
        await waiting
    with pytest.raises(BridgeClosed):
        await bridge.call(trio.sleep, 0)
    assert not bridge.post(print)
    assert finished.result() is None
    assert await bridge.stop(1.0)


async def test_what_the_thread_ended_with() -> None:
    async def main() -> None:
        raise ZeroDivisionError

    bridge = Bridge()
    assert isinstance(await bridge.start(main), ZeroDivisionError)
    assert await bridge.stop(1.0)


async def test_work_that_comes_while_the_other_side_ends() -> None:
    bridge = Bridge()
    ready = asyncio.Event()
    gate = threading.Event()

    async def main() -> None:
        bridge.post_back(ready.set)
        gate.wait(5)

    bridge.start(main)
    await ready.wait()
    call = asyncio.ensure_future(bridge.call(trio.sleep, 60))
    await asyncio.sleep(0)
    gate.set()
    with pytest.raises(BridgeClosed):
        await call


async def test_a_thread_that_does_not_end_is_left_behind() -> None:
    bridge = Bridge()
    ready = asyncio.Event()
    gate = threading.Event()

    async def main() -> None:
        bridge.post_back(ready.set)
        gate.wait(10)

    finished = bridge.start(main)
    await ready.wait()
    assert not await bridge.stop(0.05)
    gate.set()
    await finished
    assert await bridge.stop(5.0)


def test_a_loop_that_is_closed() -> None:
    made = []

    async def make() -> None:
        made.append(Bridge())

    asyncio.run(make())
    with pytest.raises(BridgeClosed):
        made[0].post_back(print)
