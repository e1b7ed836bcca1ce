from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable

import pytest

from p2pcache.testing import StandIn
from p2pcache.testing.direct import Direct
from p2pcache.testing.nodes import Clock
from tests.unit.cache.lab import APP, VAULT, Lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A public and a private repository of six issues and pull requests each, and four users, one a stranger."""
    clock = Clock()
    github = StandIn(clock=clock)
    github.repository(APP, issues=4)
    github.repository(VAULT, private=True, issues=4)
    for name in ("one", "two", "three"):
        github.token(f"ghp_{name}", repos=[APP, VAULT])
    github.token("ghp_stranger")
    lab = Lab(github, Direct(github), clock)
    yield lab
    for node in lab.nodes:
        await node.close()
    assert lab.upstream.open == 0, "a response was left open"


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
