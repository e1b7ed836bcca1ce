"""No step of a clock makes an answer live longer than its lifetime."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pcache.cache.disk import Disk
from p2pcache.cache.sealing import Keyring
from p2pcache.clock import Steady
from p2pcache.testing import StandIn
from p2pcache.testing.direct import Direct
from p2pcache.testing.nodes import Clock, MemoryNode
from tests.unit.cache.lab import kept

REPO = "/repos/octo/app"
HOUR = 3600.0


class Machine:
    """A host whose clock can be set, and that counts the seconds it is up whatever the clock shows."""

    def __init__(self) -> None:
        self.wall, self.up = Clock(), Clock(100.0)

    def process(self) -> Steady:
        """The clock of a process that starts now."""
        return Steady(self.wall, self.up)

    def passes(self, seconds: float) -> None:
        self.wall.sleep(seconds)
        self.up.sleep(seconds)

    def set_back(self, seconds: float) -> None:
        self.wall.sleep(-seconds)


@pytest.fixture
async def github() -> StandIn:
    github = StandIn()
    github.repository("octo/app")
    github.token("ghp_one", repos=["octo/app"])
    return github


@pytest.mark.parametrize("step", [10.0, HOUR, 26 * HOUR])
async def test_within_a_node(github: StandIn, step: float) -> None:
    machine = Machine()
    node = MemoryNode(Direct(github), machine.process())
    await node.get(REPO, "ghp_one")
    machine.passes(30.0)
    machine.set_back(step)
    assert kept(await node.get(REPO, "ghp_one")).hit == "memory"
    machine.passes(31.0)
    assert kept(await node.get(REPO, "ghp_one")).hit == "revalidated"


@pytest.mark.parametrize("step", [HOUR, 26 * HOUR])
async def test_from_one_life_of_a_store_to_the_next(github: StandIn, tmp_path: Path, step: float) -> None:
    machine, keyring = Machine(), Keyring.ephemeral()
    for hit in (None, "revalidated"):
        clock = machine.process()
        disk = Disk(tmp_path, keyring, 8 << 20, clock=clock)
        node = MemoryNode(Direct(github), clock, keyring=keyring, tiers=[disk])
        assert kept(await node.get(REPO, "ghp_one")).hit == hit
        await node.close()
        await disk.close()
        machine.passes(1.0)
        machine.set_back(step)
