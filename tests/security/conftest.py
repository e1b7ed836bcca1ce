"""Fixtures of the attacks: real sockets, the stand-in GitHub, and an upstream that answers as a test says."""

import pytest
from support.gateway import client, elsewhere, github, node, upstream

from tests.support import trust

__all__ = ["client", "elsewhere", "github", "node", "upstream"]


@pytest.fixture(scope="module")
def trusted_github(tmp_path_factory):
    """A stand-in in a process of its own, with the tokens and repositories of `trust`."""
    with trust.github(tmp_path_factory.mktemp("github")) as found:
        yield found


@pytest.fixture
def swarm(tmp_path, trusted_github):
    """Nodes in processes of their own, started by the test."""
    trusted_github.order("reset-calls")
    with trust.Swarm(tmp_path, trusted_github.url) as swarm:
        yield swarm
