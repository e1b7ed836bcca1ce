"""A real S3 server, its buckets, and tiers over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from p2pcache.backends import named
from p2pcache.cache.tiers import Opening
from p2pcache.settings import load
from p2pcache.stores.store_tier import StoreTier
from p2pcache.testing.conformance import KEYRING
from tests.support.fleet import until
from tests.support.s3_server import FaultProxy, S3Server, s3_server

Open = Callable[..., StoreTier]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(server: S3Server) -> str:
    return server.bucket()


@pytest.fixture
async def proxy(server: S3Server) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(server.url) as proxy:
        yield proxy


@pytest.fixture
async def open_tier(server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Open]:
    """Open the backend s3 as a node does, on this test's bucket; variables change where and as whom."""
    opened: list[StoreTier] = []

    def open_one(url: str = "", **changed: str) -> StoreTier:
        variables = {**server.variables(bucket, url), **changed}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        options = load({}, {"XDG_CACHE_HOME": "/var/cache", **variables}).options
        tier = named("s3").open(Opening(options, Path("/"), KEYRING))
        assert isinstance(tier, StoreTier)
        opened.append(tier)
        return tier

    yield open_one
    for tier in opened:
        await tier.close()


async def written(tier: StoreTier) -> None:
    """Wait until nothing waits to be written."""
    await until(lambda: not tier.report()["waiting"], f"written: {tier.report()}")
