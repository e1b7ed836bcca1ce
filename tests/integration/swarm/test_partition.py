"""Two runners that reach the hub but not each other, in network namespaces, and a cable that is pulled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.swarm.conftest import Fleet, Member
from tests.support.namespaces import Namespace

pytestmark = pytest.mark.needs("netns")


@dataclass
class Runner:
    """A namespace with one cable to the hub's machine."""

    namespace: Namespace
    machine: Namespace
    cable: str
    here: str

    def pull(self) -> None:
        self.machine.ip("link", "set", self.cable, "down")

    def plug(self) -> None:
        self.machine.ip("link", "set", self.cable, "up")


@pytest.fixture
def machine() -> Iterator[Namespace]:
    """Where the hub is."""
    with Namespace() as machine:
        yield machine


@pytest.fixture
def runners(machine: Namespace) -> Iterator[list[Runner]]:
    with Namespace() as one, Namespace() as other:
        made = []
        for number, namespace in enumerate((one, other), 1):
            runner = Runner(namespace, machine, f"runner{number}", f"10.231.{number}.1")
            machine.cable(runner.cable, f"{runner.here}/24", namespace, "eth0", f"10.231.{number}.2/24")
            made.append(runner)
        yield made


async def until(member: Member, condition: Callable[[Any], object]) -> Any:
    while not condition(report := await member.do("report")):  # noqa: ASYNC110  # another thread or process: nothing to wait on
        await asyncio.sleep(0.05)
    return report


async def test_served_through_the_hub_cut_off_and_healed(
    fleet: Fleet, machine: Namespace, runners: list[Runner]
) -> None:
    quick = {"ping_interval": 0.5, "lease_silence": 0.5}
    hub = await fleet.spawn(machine.prefix, hub=True, limits=quick)
    members = [await fleet.spawn(runner.namespace.prefix, limits=quick) for runner in runners]
    await fleet.start(hub, listen="/ip4/0.0.0.0/tcp/0")
    port = hub.addresses[0].split("/")[4]
    for member, runner in zip(members, runners, strict=True):
        await fleet.start(member, listen="/ip4/0.0.0.0/tcp/0", bootstrap=[f"/ip4/{runner.here}/tcp/{port}"])
        assert await member.do("connected")
    a, b = members

    # Neither can dial the other, so what one has comes to the other through the hub.
    name, digest, _ = await a.do("hold", size=50_000)
    await b.do("sees", name=name)
    [[got, _]] = await b.do("fetch", name=name)
    assert got == digest
    await until(b, lambda report: {"hub", "relayed"} <= {row["state"] for row in report["peers"]})

    # A cut cable: both sides notice, and the runner cut off goes on alone without waiting.
    runners[1].pull()
    await until(hub, lambda report: any(row["state"] == "dropped" for row in report["peers"]))
    await until(b, lambda report: any(row["state"] == "dropped" for row in report["peers"]))
    [[got, seconds]] = await b.do("fetch", name=name)
    assert got is None
    assert seconds < 0.3
    await a.do("drop")
    assert (await b.do("report"))["drops"] == 0

    # Healed: it is back by itself, learns what it missed, and is served again.
    runners[1].plug()
    assert await b.do("connected", timeout=10.0)
    await until(b, lambda report: report["drops"] == 1)
    name, digest, _ = await a.do("hold", size=50_000)
    await b.do("sees", name=name)
    [[got, _]] = await b.do("fetch", name=name)
    assert got == digest
