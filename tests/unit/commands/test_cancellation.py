"""Signals while a command runs that has to clean up."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from p2pcache.commands.cancellation import cancelled_by_signals

ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Signals are not ignored, as they are where a shell runs the tests in the background."""
    before = [signal.signal(number, signal.SIG_DFL) for number in ENDS]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, earlier in zip(ENDS, before, strict=True):
        signal.signal(number, earlier)


async def cleaned_up(cleaned: list[str], numbers: list[signal.Signals]) -> int:
    """Be ended by the first of `numbers`; the others come while it cleans up."""
    try:
        os.kill(os.getpid(), numbers[0])
        await asyncio.Event().wait()
    finally:
        for number in numbers[1:]:
            os.kill(os.getpid(), number)
        await asyncio.sleep(0.01)  # handlers run between the loop's steps
        cleaned.append("all")
    raise AssertionError


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGTERM, signal.SIGINT, signal.SIGTERM]])
def test_a_signal_cancels_the_work_which_cleans_up(numbers: list[signal.Signals]) -> None:
    cleaned: list[str] = []
    before = [signal.getsignal(number) for number in ENDS]
    assert cancelled_by_signals(cleaned_up(cleaned, numbers)) == 128 + numbers[0]
    assert cleaned == ["all"]
    assert [signal.getsignal(number) for number in ENDS] == before


def test_without_a_signal_the_work_has_its_own_status() -> None:
    async def work() -> int:
        return 3

    assert cancelled_by_signals(work()) == 3


def test_work_that_is_cancelled_otherwise_is_no_signal() -> None:
    async def work() -> int:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        cancelled_by_signals(work())
