"""Signals while a command runs that has to clean up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from p2pcache.commands.interrupts import heeded, status


def cancelled_by_signals(work: Coroutine[Any, Any, int]) -> int:
    """Run `work`, which the first signal cancels, and return its exit status, or a shell's for the signal.

    Later signals change nothing: what `work` cleans up has deadlines of its own.
    """
    return asyncio.run(_cancelled_by_signals(work))


async def _cancelled_by_signals(work: Coroutine[Any, Any, int]) -> int:
    task = asyncio.ensure_future(work)
    came: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        came.append(number)
        if len(came) == 1:
            task.cancel()

    loop, numbers = asyncio.get_running_loop(), heeded()
    for number in numbers:
        loop.add_signal_handler(number, end, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not came:
            raise
        return status(came[0])
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
