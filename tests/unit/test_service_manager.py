"""sd_notify(3), with a test in the manager's place."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pcache.service_manager import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The address that NOTIFY_SOCKET has, and the manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"p2pcache-{secrets.token_hex(8)}"
        address = str(tmp_path / "notify") if request.param == "path" else f"@{name}"
        manager.bind(address if request.param == "path" else f"\0{name}")
        manager.settimeout(10)
        yield address, manager


def test_each_state_is_one_datagram(listening: tuple[str, socket.socket]) -> None:
    address, manager = listening
    service = ServiceManager(address)
    service.ready()
    assert manager.recv(4096) == b"READY=1"
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    service.reloading()
    state, _, when = manager.recv(4096).decode().partition("\n")
    assert state == "RELOADING=1"
    assert before <= int(when.removeprefix("MONOTONIC_USEC=")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    service.stopping()
    assert manager.recv(4096) == b"STOPPING=1"


def test_without_a_manager_nothing_happens_and_one_that_is_gone_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ServiceManager("").ready()
    assert caplog.messages == []
    ServiceManager(str(tmp_path / "gone")).ready()
    (line,) = caplog.messages
    assert line == "the service manager cannot be reached (NOTIFY_SOCKET): No such file or directory"
