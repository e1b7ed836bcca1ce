"""A stand-in GitHub, and nodes of one swarm around it: every one a process."""

import fcntl
import os
import secrets

import pytest

from tests.support.fleet import Fleet
from tests.support.forks import Forks
from tests.support.processes import GitHub, running

SIZE = 20
LATENCY = 0.05
"""Seconds; so that calls of one burst overlap as they do at GitHub."""


@pytest.fixture(autouse=True)
def alone(tmp_path_factory):
    """One fleet at a time, however tests are shared out among workers: two on two cores are both too slow."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "fleet.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    warm = Forks(tmp_path_factory.mktemp("forks"))
    yield warm
    warm.close()


@pytest.fixture(scope="session")
def tokens():
    """Of jobs of one repository."""
    return [f"ghs_app{number}" for number in range(SIZE)]


@pytest.fixture(scope="session")
def strangers():
    """Of jobs of other repositories."""
    return [f"ghs_other{number}" for number in range(4)]


@pytest.fixture(scope="session")
def github(tmp_path_factory, tokens, strangers):
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
def repository(github, tokens):
    """One that nobody asked about before."""
    name = f"octo/{secrets.token_hex(6)}"
    github.order("repository", name=name)
    return name


@pytest.fixture
def fleet(forks, github, tmp_path):
    fleet = Fleet(forks, github.url, tmp_path)
    yield fleet
    fleet.stop()
