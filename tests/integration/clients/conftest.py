"""A stand-in GitHub and a node, each a process as users run them; every test finds both with nothing in them."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

START_SECONDS = 30.0
TOKEN = "ghp_reader"


@dataclass
class GitHub:
    """The stand-in, through its control addresses."""

    url: str

    def order(self, action, /, **what):
        request = urllib.request.Request(f"{self.url}/_stand-in/{action}", json.dumps(what).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def calls(self, path=""):
        """Method and target of what was asked, oldest first; of one path only, if given."""
        with urllib.request.urlopen(f"{self.url}/_stand-in/calls", timeout=10) as response:
            asked = [(call["method"], call["target"]) for call in json.load(response)]
        return [call for call in asked if call[1].partition("?")[0] == path] if path else asked


@dataclass
class Node:
    """A running node."""

    api_url: str
    socket: Path

    def control(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.api_url}/-/{path}", data, timeout=10) as response:
            return json.load(response)


def environment(home: Path):
    """What a process needs, and nothing that this machine's own GitHub clients left lying about."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "COVERAGE_PROCESS_START") if name in os.environ}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}


@contextlib.contextmanager
def running(module, *arguments, home: Path):
    """Run ``python -m module`` until it is ready; gives what its ready file says."""
    ready, log = home / f"{module}.json", home / f"{module}.log"
    command = [sys.executable, "-m", module, *arguments, "--ready-file", str(ready)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment(home))
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{module} did not start:\n{log.read_text()}")
            time.sleep(0.02)
        yield json.loads(ready.read_text())
        process.terminate()
        process.wait(timeout=10)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def running_github(home):
    with running("p2pcache.testing", f"--token={TOKEN}=octo/app,octo/lib", home=home) as said:
        github = GitHub(said["url"])
        github.order("repository", name="octo/old", issues=4)
        github.order("rename", old="octo/old", new="octo/new")
        yield github


@pytest.fixture(scope="session")
def running_node(home, running_github):
    where = ["--listen", "127.0.0.1:0", "--socket", str(home / "node.sock"), "--dir", str(home / "store")]
    with running("p2pcache", "serve", "--no-p2p", *where, "--upstream", running_github.url, home=home) as said:
        yield Node(said["api_url"], Path(said["socket"]))


@pytest.fixture
def token():
    """A credential that GitHub knows."""
    return TOKEN


@pytest.fixture
def clean_environment(home):
    return environment(home)


@pytest.fixture
def node(running_node, running_github):
    running_node.control("purge", {"all": True})
    running_github.order("reset-calls")
    return running_node


@pytest.fixture
def github(running_github, node):
    return running_github
