"""What one member stores, another finds: together they keep the contract of a tier."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

import pytest

from p2pcache.backends.p2p import BACKEND
from p2pcache.cache.entry import Pointer
from p2pcache.cache.tiers import Tier
from p2pcache.swarm import Limits
from p2pcache.testing.conformance import TierConformance
from tests.support.swarms import SECONDS, Fleet, Honest

# What is tried is the contract: on a machine that others keep busy, a slow peer must not be given up.
PATIENT = Limits(peer_deadline=5.0, drop_timeout=5.0)


class Pair:
    """A tier that is stored to at one member and asked at another; done when the other has heard of it."""

    backend = BACKEND

    def __init__(self, here: Honest, there: Honest) -> None:
        self._here = here
        self._there = there

    async def find(self, resource: bytes) -> Sequence[Pointer]:
        return await self._here.swarm.tier.find(resource)

    async def block(self, pointer: Pointer) -> bytes | None:
        return await self._here.swarm.tier.block(pointer)

    async def store(self, pointer: Pointer, sealed: bytes) -> None:
        self._there.blocks[pointer.cid] = sealed
        await self._there.swarm.tier.store(pointer, sealed)
        async with asyncio.timeout(SECONDS):
            while pointer not in await self.find(pointer.name):  # noqa: ASYNC110 - another thread: nothing to wait on
                await asyncio.sleep(0.005)

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        await self._here.swarm.tier.drop(topics, scope, until)

    async def close(self) -> None:
        await self._here.swarm.tier.close()


class TestPeers(TierConformance):
    @pytest.fixture
    async def tier(self, tmp_path: Path) -> AsyncIterator[Tier]:
        fleet = Fleet(tmp_path)
        try:
            there = await fleet.member(limits=PATIENT)
            here = await fleet.member(there.address, limits=PATIENT)
            assert await there.swarm.connected(1, SECONDS)
            yield Pair(here, there)
        finally:
            await fleet.close()
