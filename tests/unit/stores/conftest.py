"""A tier over a service that a test can break."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from p2pcache.stores.store_tier import StoreTier
from tests.support.stores import MemoryDriver, over


@pytest.fixture
def driver() -> MemoryDriver:
    return MemoryDriver()


@pytest.fixture
async def tier(driver: MemoryDriver) -> AsyncIterator[StoreTier]:
    tier = over(driver)
    await tier.open()
    yield tier
    await tier.close()
