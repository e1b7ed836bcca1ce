"""How secrets go from one process to the next; that nobody else gets them is in tests/security."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from p2pcache.runner import watch

ASK = """
import ctypes, json, sys
sys.path.insert(0, {folder!r})
import watch
given = watch.received(int(sys.argv[1]))
print(json.dumps(given), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def test_what_a_process_needs_at_once_is_clear_and_nothing_else() -> None:
    needed = {"PATH": "/bin", "HOME": "/root", "LC_ALL": "C", "PYTHONPATH": "/x", "RUNNER_TRACKING_ID": "github_1"}
    others = {
        "CACHE_SECRET": "s",
        "GITHUB_TOKEN": "t",
        "HTTPS_PROXY": "http://u:p@proxy",
        "CACHE_TTL": "9",
        "MY_PATH": "",
    }
    assert watch.divided({**needed, **others}) == (needed, others)


def test_secrets_are_given_to_a_process_that_has_closed_itself() -> None:
    ours, theirs = socket.socketpair()
    given = {"CACHE_SECRET": "s" * 100_000, "ODD": 'ü"\n'}
    thread = threading.Thread(target=watch.give, args=(ours, given))
    thread.start()
    script = ASK.format(folder=str(Path(watch.__file__).parent))
    with theirs:
        told = subprocess.run(
            [sys.executable, "-c", script, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            capture_output=True,
            timeout=30,
        )
    thread.join(30)
    assert told.stderr == b""
    text, dumpable = told.stdout.decode().rsplit(maxsplit=1)
    assert (json.loads(text), dumpable) == (given, "0")


def test_who_ends_before_asking_holds_nobody_up() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    watch.give(ours, {"CACHE_SECRET": "s"})
    assert ours.fileno() == -1


@pytest.mark.parametrize("said", [b"", b"nonsense", b"[]"])
def test_who_is_given_nothing_is_told(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(watch, "conceal", lambda: None)
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(said)
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(ValueError):
            watch.received(theirs.detach())


def test_without_a_runner_there_is_nothing_to_be_found_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(watch.TRACKING, raising=False)
    assert watch.trace() == 0


WAITS = """
import os, signal, sys, threading
sys.path.insert(0, {folder!r})
import watch
{before}
wait = watch.signal_wait()
print(wait(0.0))
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
print(wait(20.0))
os.kill(os.getpid(), signal.SIGCHLD)
os.kill(os.getpid(), signal.SIGINT)
print(sorted((wait(1.0), wait(1.0))))
"""


@pytest.mark.parametrize("before", ["", "del signal.sigtimedwait"], ids=["linux", "macos"])
def test_signals_are_waited_for_with_and_without_linuxs_call(before: str) -> None:
    script = WAITS.format(folder=str(Path(watch.__file__).parent), before=before)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=40, check=True)
    assert done.stdout.split("\n") == ["0", "15", str(sorted((int(signal.SIGINT), int(signal.SIGCHLD)))), ""]


@pytest.mark.skipif(not Path("/bin/ps").exists(), reason="ps is not installed")
def test_without_proc_a_process_is_known_by_when_ps_says_that_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch.started_at(1 << 30) is None
    monkeypatch.setattr(watch, "_stat", lambda pid: None)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = watch.started_at(process.pid)
        assert started == watch.started_at(process.pid)
        assert started is not None
        assert abs(started - time.time()) < 3600
        process.communicate(b"\n")
    assert watch.started_at(process.pid) is None


def test_where_linuxs_calls_are_not_there_connections_end_with_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert watch.held() is None
    monkeypatch.setenv(watch.TRACKING, "github_1")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert watch.trace() == 0
    watch.conceal()
