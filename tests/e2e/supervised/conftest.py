"""A supervised node as ``p2pcache up`` starts it, before a stand-in GitHub that takes its time."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.support.processes import GitHub, Node, environment, running

T = TypeVar("T")

TOKEN = "ghp_reader"
REPOSITORY = "octo/app"
LATENCY = 0.05
PATIENCE = 20.0
HEADERS = {"Authorization": f"token {TOKEN}", "Accept": "application/vnd.github+json"}


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("api.github.com", timeout=PATIENCE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self.path))


def tcp(node: Node) -> contextlib.closing[http.client.HTTPConnection]:
    host, _, port = node.api_url.removeprefix("http://").partition(":")
    return contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=PATIENCE))


def unix(node: Node) -> contextlib.closing[http.client.HTTPConnection]:
    return contextlib.closing(UnixConnection(node.socket))


Answer = tuple[int, Callable[[str], str | None], Any]
Connect = Callable[[Node], contextlib.closing[http.client.HTTPConnection]]


def answer(connection: http.client.HTTPConnection) -> Answer:
    """Status, header lookup and JSON of the answer that is due."""
    with connection.getresponse() as response:
        body = response.read()
        return response.status, response.getheader, json.loads(body or "null")


def ask(connection: http.client.HTTPConnection, path: str, method: str = "GET", body: str | None = None) -> Answer:
    connection.request(method, path, body, HEADERS)
    return answer(connection)


def until(holds: Callable[..., T], what: str, seconds: float = PATIENCE) -> T:
    """Wait for `holds()`; gives what it gave."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(0.01)
    return found


def open_files(pid: int) -> list[str]:
    """What a process holds open; a file that it closes while this looks is none of them."""
    found = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(each.readlink()))
    return found


@dataclass
class Supervised:
    """A node, its supervisor, and the ways to trouble them."""

    home: Path
    node: Node

    def read(self, name: str) -> Any:
        found = next(self.home.rglob(name), None)
        return json.loads(found.read_text()) if found else {}

    @property
    def state(self) -> Any:
        return self.read("supervisor.json")

    @property
    def pids(self) -> list[int]:
        state = self.state
        return [state["pid"], state["node"]]

    def held(self) -> int:
        """How many connections the supervisor holds: its sockets, less two listeners and the pair to the node."""
        return sum(name.startswith("socket:") for name in open_files(self.state["pid"])) - 4

    def kill_with(self, connections: int) -> None:
        """Kill the node when so many connections are in two hands: one that it has just accepted dies with it."""
        until(lambda: self.held() >= connections, "the connections in two hands")
        self.kill()

    def kill(self, *, stopped: bool = False) -> None:
        """Kill the node, past the step it was in (unless it is stopped); returns when the next one answers."""
        before = self.state
        if not stopped:
            self.node.control("healthz")
        os.kill(before["node"], signal.SIGKILL)
        until(lambda: self.state["restarts"] > before["restarts"], "the next node")
        until(lambda: self.read("ready.json")["pid"] == self.state["node"], "its readiness")
        self.node.control("healthz")

    def down(self) -> subprocess.CompletedProcess[str]:
        return self.command("down", "--dir", str(self.home / "store"))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "p2pcache", *arguments],
            env=environment(self.home),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="session")
def running_github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    flags = (f"--token={TOKEN}={REPOSITORY}", "--latency", str(LATENCY))
    with running("p2pcache.testing", *flags, home=tmp_path_factory.mktemp("github")) as said:
        yield GitHub(said["url"])


@pytest.fixture
def github(running_github: GitHub) -> GitHub:
    running_github.order("clear-faults")
    running_github.order("reset-calls")
    return running_github


@pytest.fixture
def supervised(tmp_path: Path, github: GitHub) -> Iterator[Supervised]:
    where = ["--dir", str(tmp_path / "store"), "--socket", str(tmp_path / "s"), "--listen", "127.0.0.1:0"]
    up = Supervised(tmp_path, Node("", tmp_path / "s"))
    said = up.command("up", "--no-p2p", *where, "--upstream", github.url)
    assert said.returncode == 0, said.stderr
    exported = dict(line.removeprefix("export ").split("=", 1) for line in said.stdout.splitlines())
    up.node.api_url = exported["P2PCACHE_API_URL"]
    pids = up.pids
    yield up
    if up.state:
        pids += up.pids
    up.down()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
