"""Signals before the command of ``p2pcache run`` starts. Light, since the imports of `run` are among what they end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


def heeded() -> tuple[signal.Signals, ...]:
    """Return those of SIGINT, SIGTERM and SIGHUP that the caller of this process lets through.

    nohup ignores SIGHUP; shells ignore SIGINT for what a script starts in the background.
    """
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return tuple(number for number in ends if signal.getsignal(number) is not signal.SIG_IGN)


def status(number: int) -> int:
    """Return a shell's exit status for a command that a signal ended (POSIX, Shell Command Language, 2.8.2)."""
    return 128 + number


@contextmanager
def exiting_on_signals() -> Iterator[None]:
    """Raise `SystemExit` at a signal, so that what was begun is cleaned up."""

    def leave(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(status(number))

    before = {number: signal.signal(number, leave) for number in heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
