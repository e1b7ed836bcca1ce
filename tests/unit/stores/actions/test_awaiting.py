from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from p2pcache.stores.actions.awaiting import ALL_SECONDS, EACH_SECONDS, Awaiting
from tests.support import virtual_time


class Waited:
    """Something that is waited for."""

    def __init__(self) -> None:
        self.urged = 0
        self.came = False
        self.now = asyncio.get_running_loop().time
        self.awaiting = Awaiting(self.now, self.urge)

    def urge(self) -> None:
        self.urged += 1

    async def seconds(self) -> float:
        begun = self.now()
        assert await self.awaiting.until(lambda: self.came) is self.came
        return self.now() - begun


def virtually(test: Callable[[Waited], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Waited())

    virtual_time.run(main())


def test_a_caller_waits_until_it_came() -> None:
    async def test(waited: Waited) -> None:
        waiting = asyncio.create_task(waited.seconds())
        await asyncio.sleep(1)
        waited.awaiting.look()
        await asyncio.sleep(1)
        waited.came = True
        waited.awaiting.look()
        assert await waiting == pytest.approx(2.0)
        assert await waited.seconds() == 0.0
        assert waited.urged == 2

    virtually(test)


def test_a_caller_waits_for_a_while_and_a_job_for_a_while_in_all() -> None:
    async def test(waited: Waited) -> None:
        seconds = [await waited.seconds() for _ in range(5)]
        assert seconds == pytest.approx([EACH_SECONDS] * 3 + [ALL_SECONDS - 3 * EACH_SECONDS, 0.0])

    virtually(test)


def test_callers_at_the_same_time_count_once() -> None:
    async def test(waited: Waited) -> None:
        for _ in range(3):
            assert await asyncio.gather(*(waited.seconds() for _ in range(9))) == pytest.approx([EACH_SECONDS] * 9)
        late = asyncio.create_task(waited.seconds())
        await asyncio.sleep(0.75)
        assert await waited.seconds() == pytest.approx(ALL_SECONDS - 3 * EACH_SECONDS - 0.75)
        assert await late == pytest.approx(1.0)

    virtually(test)


def test_the_end_frees_all() -> None:
    async def test(waited: Waited) -> None:
        waiting = asyncio.create_task(waited.seconds())
        await asyncio.sleep(1)
        waited.awaiting.end()
        assert await waiting == pytest.approx(1.0)
        assert await waited.seconds() == 0.0

    virtually(test)
