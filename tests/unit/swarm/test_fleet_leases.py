"""The fleet's leases keep the contract that those of one node keep, with a hub to arbitrate and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from p2pcache.cache.entry import Pointer
from p2pcache.cache.tiers import Leases
from p2pcache.swarm import Limits
from p2pcache.testing.conformance import LeasesConformance, make
from tests.support.swarms import SECONDS, Fleet

# What is tried is the contract: on a machine that others keep busy, a slow arbiter must not be given up.
PATIENT = Limits(peer_deadline=5.0, lease_silence=8.0, lease=30.0)

Members = tuple[Leases[Pointer], Leases[Pointer]]


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(tmp_path)
    try:
        yield fleet
    finally:
        await fleet.close()


@pytest.fixture
def left() -> Pointer:
    return make(name=b"r" * 32).pointer


class TestWithAHub(LeasesConformance):
    @pytest.fixture
    async def members(self, fleet: Fleet) -> Members:
        hub = await fleet.member(hub=True, limits=PATIENT)
        one, two = [await fleet.member(hub.address, limits=PATIENT) for _ in range(2)]
        assert await hub.swarm.connected(2, SECONDS)
        return one.swarm.leases, two.swarm.leases


class TestWithoutOne(LeasesConformance):
    @pytest.fixture
    async def members(self, fleet: Fleet) -> Members:
        one = await fleet.member(limits=PATIENT)
        two = await fleet.member(one.address, limits=PATIENT)
        assert await one.swarm.connected(1, SECONDS)
        return one.swarm.leases, two.swarm.leases
