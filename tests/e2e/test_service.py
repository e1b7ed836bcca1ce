"""A hub as a service: what it reports to its manager, takes from it, and reads again on SIGHUP."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from p2pcache.gateway.ask import UnixConnection

LIMIT = 60.0
"""Seconds that anything may take on a busy machine."""
AS_SYSTEMD = """
import os, sys
count, command = int(sys.argv[1]), sys.argv[2:]
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=":".join(["x"] * count))
os.execv(command[0], command)
"""
"""systemd's way: the descriptors are there from 3 on, and LISTEN_PID is known only to the process that becomes it."""


class Service:
    """A hub, started as systemd starts one, and the manager's end of its notifications."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._name = f"p2pcache-{secrets.token_hex(8)}"
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.bind(f"\0{self._name}")
        self._notified.settimeout(LIMIT)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str, passed: tuple[socket.socket, ...] = (), **variables: str) -> None:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), "NOTIFY_SOCKET": f"@{self._name}", **variables}
        serve = [sys.executable, "-m", "p2pcache", "serve", "--hub", "--dir", str(self.home / "state"), *flags]
        where = ["--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--ready-file", str(self.home / "ready")]

        def arrange() -> None:
            for number, each in enumerate(passed, 100):  # out of the way first: the numbers may overlap
                os.dup2(each.fileno(), number)
            for number in range(len(passed)):
                os.dup2(100 + number, 3 + number)
                os.close(100 + number)

        wrapped = [sys.executable, "-c", AS_SYSTEMD, str(len(passed))] if passed else []
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*wrapped, *serve, *where],
                env=environ,
                stdin=subprocess.DEVNULL,
                stderr=log,
                preexec_fn=arrange if passed else None,
                close_fds=not passed,
            )

    def state(self) -> list[str]:
        """The next notification's lines."""
        return self._notified.recv(4096).decode().splitlines()

    @property
    def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "ready").read_text())
        return found

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    def reload(self) -> None:
        """As `systemctl reload` does; returns when the hub says that it is done."""
        assert self.process
        self.process.send_signal(signal.SIGHUP)
        assert self.state()[0] == "RELOADING=1"
        assert self.state() == ["READY=1"]

    def stop(self) -> int:
        assert self.process
        self.process.terminate()
        assert self.state() == ["STOPPING=1"]
        return self.process.wait(LIMIT)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._notified.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.end()


def test_a_hub_reports_its_life_to_its_manager(service: Service) -> None:
    service.start()
    assert service.state() == ["READY=1"]
    assert service.ready["p2p"] == "ready", "a hub is ready when members can join"
    service.reload()
    assert "the secret was read again from" in service.log
    assert service.stop() == 0


def test_it_answers_on_the_sockets_that_were_passed_and_leaves_them_to_the_manager(
    service: Service, tmp_path: Path
) -> None:
    """Through a restart: a client that comes between waits in the backlog, and is answered by the next process."""
    path = tmp_path / "s"
    with ExitStack() as life:
        tcp = life.enter_context(socket.create_server(("127.0.0.1", 0), backlog=16))
        unix = life.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(str(path))
        unix.listen(16)
        url = f"http://127.0.0.1:{tcp.getsockname()[1]}"
        service.start("--listen", "127.0.0.1:1", passed=(tcp, unix))
        assert service.state() == ["READY=1"]
        assert (service.ready["api_url"], service.ready["socket"]) == (url, str(path))
        assert health(url) == over_unix(path) == {"status": "ok"}
        assert service.stop() == 0
        assert path.exists()
        waiting = life.enter_context(socket.create_connection(tcp.getsockname()[:2], timeout=LIMIT))
        waiting.sendall(b"GET /-/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        service.start(passed=(tcp, unix))
        assert service.state() == ["READY=1"]
        assert waiting.recv(4096).startswith(b"HTTP/1.1 200")
        assert not (tmp_path / "state/gateway.sock").exists()


def health(url: str) -> Any:
    with urllib.request.urlopen(f"{url}/-/healthz", timeout=LIMIT) as answer:
        return json.load(answer)


def over_unix(path: Path) -> Any:
    connection = UnixConnection(str(path), LIMIT)
    connection.request("GET", "/-/healthz")
    found = json.load(connection.getresponse())
    connection.close()
    return found


def test_a_socket_of_no_use_is_one_line_and_no_start(service: Service) -> None:
    with socket.create_server(("0.0.0.0", 0)) as outside:
        service.start(passed=(outside,))
        assert service.process
        assert service.process.wait(LIMIT) == 1
    assert service.log.count("\n") == 1
    assert "LISTEN_FDS: a socket that other machines reach was passed, and no --gateway-host HOST:PORT" in service.log


@pytest.mark.needs("systemd-socket-activate")
def test_systemds_own_activation_starts_a_hub_at_the_first_request(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "-l", str(tmp_path / "s")]
    serve = [sys.executable, "-m", "p2pcache", "serve", "--hub", "--dir", str(tmp_path / "state")]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *serve, "--p2p-listen", "/ip4/127.0.0.1/tcp/0"], env=environ, stdout=log, stderr=log
        )
    try:
        until(lambda: (tmp_path / "s").exists())
        assert health(f"http://127.0.0.1:{port}") == {"status": "ok"}
        assert over_unix(tmp_path / "s") == {"status": "ok"}
    finally:
        process.terminate()
        assert process.wait(LIMIT) == 0, (tmp_path / "log").read_text()


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_end_of_its_terminal_ends_a_hub_that_a_person_started(tmp_path: Path) -> None:
    """SIGHUP means two things: a terminal that is gone, and the wish of a manager."""
    master, slave = os.openpty()
    serve = [sys.executable, "-m", "p2pcache", "serve", "--hub", "--dir", str(tmp_path / "state")]
    serve += ["--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--ready-file", str(tmp_path / "ready")]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    process = subprocess.Popen(serve, env=environ, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    try:
        until(lambda: (tmp_path / "ready").exists())
        os.set_blocking(master, False)
        process.send_signal(signal.SIGHUP)
        shown = bytearray()

        def reloaded() -> bool:
            with suppress(BlockingIOError):
                shown.extend(os.read(master, 65536))
            return b"was read again" in shown

        until(reloaded)
        os.close(master)
        process.send_signal(signal.SIGHUP)  # the kernel's own goes to the session that has the terminal
        assert process.wait(LIMIT) == 0
    finally:
        process.kill()
        process.wait()
