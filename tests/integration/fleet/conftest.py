"""A stand-in GitHub, and nodes of one swarm around it: every one a process."""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fleet import DROPS, PATIENT, START_SECONDS, Fleet
from tests.support.forks import Forks
from tests.support.processes import GitHub, Node, running

SIZE = 20
LATENCY = 0.05
"""Seconds; so that calls of one burst overlap as they do at GitHub."""


@pytest.fixture(autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One fleet at a time, however tests are shared out among workers: two on two cores are both too slow."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "fleet.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def tokens() -> list[str]:
    """Of jobs of one repository."""
    return [f"ghs_app{number}" for number in range(SIZE)]


@pytest.fixture(scope="session")
def strangers() -> list[str]:
    """Of jobs of other repositories."""
    return [f"ghs_other{number}" for number in range(4)]


@pytest.fixture(scope="session")
def github(tmp_path_factory: pytest.TempPathFactory, tokens: list[str], strangers: list[str]) -> Iterator[GitHub]:
    home = tmp_path_factory.mktemp("github")
    with running("p2pcache.testing", "--latency", str(LATENCY), home=home) as said:
        github = GitHub(said["url"])
        for token in tokens:
            github.order("token", value=token, repos=["octo/app"])
        for number, token in enumerate(strangers):
            github.order("repository", name=f"octo/other{number}")
            github.order("token", value=token, repos=[f"octo/other{number}"])
        yield github


@pytest.fixture
def repository(github: GitHub, tokens: list[str]) -> str:
    """One that nobody asked about before."""
    name = f"octo/{secrets.token_hex(6)}"
    github.order("repository", name=name)
    return name


@pytest.fixture
def fleet(forks: Forks, github: GitHub, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(forks, github.url, tmp_path)
    yield fleet
    fleet.stop()


@pytest.fixture
def patient(forks: Forks, github: GitHub, tmp_path: Path) -> Iterator[Fleet]:
    """Members that wait longer for each other than a busy machine makes them; all of them end when asked to."""
    fleet = Fleet(forks, github.url, tmp_path, DROPS, **PATIENT)
    yield fleet
    fleet.end()


@pytest.fixture
def start(patient: Fleet, tokens: list[str]) -> Callable[..., Node]:
    """Start nodes of one swarm, one by one, for tests that talk to each by its TCP address."""

    def node(name: str, *flags: str, token: str = tokens[0], **options: str) -> Node:
        member = patient.start(name, *flags, token=token, **options)
        deadline = time.monotonic() + START_SECONDS
        while "api_url" not in member.ready:
            if member.over or time.monotonic() > deadline:
                pytest.fail(f"{name} did not start:\n{member.log}")
            time.sleep(0.01)
        home = member.home
        return Node(member.ready["api_url"], home / "s", member.pid, home / "ready.json", home / "log")

    return node


def joined(start: Callable[..., Node], *hub_flags: str, **options: str) -> tuple[Node, Node]:
    """A hub and a node that found it, which has the `options`."""
    hub = start("hub", "--hub", *hub_flags)
    hub.until(lambda _: hub.ready["p2p"] == "ready", "the hub's swarm")
    node = start("runner", "--bootstrap", hub.ready["multiaddrs"][0], **options)
    node.until(lambda stats: stats["peers"]["connected"] == 1, "the runner at the hub")
    hub.until(lambda stats: stats["peers"]["connected"] == 1, "the runner, seen by the hub")
    return hub, node
