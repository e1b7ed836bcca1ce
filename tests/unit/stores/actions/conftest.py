"""A stand-in of the service over HTTP, and tokens for it."""

from collections.abc import AsyncIterator

import pytest

from p2pcache.testing.actions_cache import READ, WRITE, runtime_token
from p2pcache.testing.actions_cache_server import ActionsCacheServer
from p2pcache.values import Secret

MAIN = "refs/heads/main"
PULL = "refs/pull/7/merge"
ON_MAIN = Secret(runtime_token("1", {MAIN: READ | WRITE}))
ON_PULL = Secret(runtime_token("1", {PULL: READ | WRITE, MAIN: READ}))
READ_ONLY = Secret(runtime_token("1", {MAIN: READ}))
WRITE_ONLY = Secret(runtime_token("1", {MAIN: WRITE}))


@pytest.fixture
async def server() -> AsyncIterator[ActionsCacheServer]:
    async with ActionsCacheServer() as server:
        yield server
