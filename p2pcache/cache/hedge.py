"""Hedged calls, of which the first good result is enough: each begins when those before it are late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
NEAR = 0.005
"""Seconds; calls that usually take less begin side by side."""


async def hedged(
    calls: Sequence[tuple[float, Callable[[], Awaitable[T]]]], enough: Callable[[T], bool], grace: float = NEAR
) -> list[T]:
    """Return the results so far when one of them is `enough`, else all of them; in the order of `calls`.

    Args:
        calls: the seconds that each usually takes, and the function that starts it; the quickest first, none raises.
        enough: whether a result makes the other calls needless.
        grace: the seconds for which those side by side wait for each other, so that which is first decides nothing.
    """
    if len(calls) == 1:
        return [await calls[0][1]()]
    tasks: list[asyncio.Task[T]] = []
    try:
        for at, (usual, start) in enumerate(calls):
            tasks.append(asyncio.ensure_future(start()))
            last = at + 1 == len(calls)
            if not last and calls[at + 1][0] < NEAR:
                continue
            if usual < NEAR:
                await asyncio.wait(tasks, timeout=grace)
                if any(enough(task.result()) for task in tasks if task.done()):
                    break
            if await _enough(tasks, None if last else max(usual, NEAR), enough):
                break
        return [task.result() for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()


async def _enough(tasks: Sequence[asyncio.Task[T]], seconds: float | None, enough: Callable[[T], bool]) -> bool:
    """Return whether a result of `tasks` is `enough`; wait for it until all are done, or for `seconds`."""
    clock = asyncio.get_running_loop().time
    until = None if seconds is None else clock() + seconds
    pending = {task for task in tasks if not task.done()}
    while pending:
        done, pending = await asyncio.wait(
            pending,
            timeout=None if until is None else max(0.0, until - clock()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if any(enough(task.result()) for task in done):
            return True
        if not done:
            return False
    return False
