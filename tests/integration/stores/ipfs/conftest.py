"""Kubo daemons on loopback, and tiers over them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from p2pcache.backends import named
from p2pcache.cache.entry import Pointer
from p2pcache.cache.sealing import Keyring, generate_secret
from p2pcache.stores.ipfs.ipfs_driver import IpfsDriver
from p2pcache.stores.ipfs.kubo import Kubo
from p2pcache.stores.ipfs.pins import Pins
from p2pcache.stores.ipfs.trustless import TrustlessGateway
from p2pcache.stores.store_tier import StoreLimits, StoreTier
from p2pcache.testing.conformance import KEYRING, Stored
from tests.support.ipfs import Daemon

SECONDS = 30.0
MARKS = [pytest.mark.needs("kubo")]


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One that is private."""
    daemon = Daemon(tmp_path_factory.mktemp("kubo"))
    yield daemon
    daemon.kill()


@pytest.fixture
def names() -> Keyring:
    """Keys of IPNS names that no other test has."""
    return Keyring.from_secrets([generate_secret()])


class Written(StoreTier):
    """Has everything stored written before it goes on."""

    async def store(self, pointer: Pointer, sealed: bytes) -> None:
        await super().store(pointer, sealed)
        async with asyncio.timeout(SECONDS):
            while self.report()["waiting"]:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.002)


def tier_of(names: Keyring, api: str, *gateways: str, token: str = "", **options: Any) -> Written:
    kubo = Kubo(api, token) if api else None
    pins = Pins(kubo, "") if kubo else None
    driver = IpfsDriver(names, kubo, [TrustlessGateway(url) for url in gateways], pins, "the daemon")
    return Written(named("ipfs"), driver, KEYRING, **{"limits": StoreLimits(), **options})


@asynccontextmanager
async def over(names: Keyring, api: str, *gateways: str, token: str = "") -> AsyncIterator[Written]:
    tier = tier_of(names, api, *gateways, token=token)
    await tier.open()
    yield tier
    await tier.close()


async def found(tier: StoreTier, kept: Stored) -> tuple[list[Pointer], bytes | None]:
    return list(await tier.find(kept.pointer.name)), await tier.block(kept.pointer)


async def until(look: Callable[[], Any], expected: list[Any]) -> None:
    """Wait until `look` returns what is expected, in any order."""
    async with asyncio.timeout(SECONDS):
        while sorted(map(repr, await look())) != sorted(map(repr, expected)):  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.02)
