"""Fixtures of the attacks: real sockets, the stand-in GitHub, and an upstream that answers as a test says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import trust
from tests.support.forks import Forks
from tests.support.gateway import client, elsewhere, github, node, upstream
from tests.support.processes import GitHub

__all__ = ["client", "elsewhere", "github", "node", "upstream"]


@pytest.fixture(scope="module")
def trusted_github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    """A stand-in in a process of its own, with the tokens and repositories of `trust`."""
    with trust.github(tmp_path_factory.mktemp("github")) as found:
        yield found


@pytest.fixture
def swarm(forks: Forks, tmp_path: Path, trusted_github: GitHub) -> Iterator[trust.Swarm]:
    """Nodes in processes of their own, started by the test."""
    trusted_github.order("reset-calls")
    with trust.Swarm(forks, tmp_path, trusted_github.url) as swarm:
        yield swarm
