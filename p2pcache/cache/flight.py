"""One caller works, the others wait for what it brings: a burst of equal requests becomes one upstream call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Landed(Generic[T]):
    """What came of a flight; `led` tells whether this caller's own work made the value."""

    value: T
    led: bool


class Flights(Generic[T]):
    """Single flight per key, within one event loop.

    Args:
        patience: seconds a caller waits for others in all, before it works by itself.
        limit: keys in flight at once; beyond it, callers work by themselves.
    """

    def __init__(self, *, patience: float, limit: int = 4096) -> None:
        self._patience = patience
        self._limit = limit
        self._flights: dict[Hashable, asyncio.Future[Landed[T] | None]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> Landed[T]:
        """The value of `work`, or that of an equal call already under way.

        A leader that fails or is cancelled fails alone: the first follower to notice leads with its own `work`.
        Raises what `work` raises, and nothing else.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + self._patience
        while (flight := self._flights.get(key)) is not None:
            done, _ = await asyncio.wait([flight], timeout=until - clock())
            if not done:
                return Landed(await work(), led=True)
            if landed := flight.result():
                return landed
        if len(self._flights) >= self._limit:
            return Landed(await work(), led=True)
        return await self._lead(key, work)

    async def _lead(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> Landed[T]:
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        landed: Landed[T] | None = None
        try:
            value = await work()
            landed = Landed(value, led=False)
            return Landed(value, led=True)
        finally:
            del self._flights[key]
            flight.set_result(landed)
