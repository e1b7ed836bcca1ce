"""Signals before a command starts."""

from __future__ import annotations

import os
import signal

import pytest

from p2pcache.commands.interrupts import exiting_on_signals, heeded

ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_ends_the_work_with_a_shells_status_and_the_handler_is_put_back(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as leaving, exiting_on_signals():
            os.kill(os.getpid(), number)
        assert leaving.value.code == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", ENDS)
def test_what_the_caller_ignores_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        assert number not in heeded()
        with exiting_on_signals():
            os.kill(os.getpid(), number)
            assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
