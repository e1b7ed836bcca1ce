"""Fleets that never meet share through IPFS: the second one pays nothing."""

from __future__ import annotations

import secrets
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pcache.stores.ipfs.kubo import Kubo
from p2pcache.stores.ipfs.pins import KEPT_DAYS, Pins
from tests.support.fleet import STORES, Fleet, Member, until
from tests.support.forks import Forks
from tests.support.ipfs import Cluster, Daemon
from tests.support.processes import GitHub, running

pytestmark = [pytest.mark.needs("kubo")]

ONE, TWO, OTHER = "ghs_one", "ghs_two", "ghs_other"


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    with running("p2pcache.testing", home=tmp_path_factory.mktemp("github")) as said:
        yield GitHub(said["url"])


@pytest.fixture
def targets(github: GitHub) -> list[str]:
    """Reads of a repository that nobody asked about before."""
    name = f"octo/{secrets.token_hex(6)}"
    github.order("repository", name=name)
    for token in (ONE, TWO, OTHER):
        github.order("token", value=token, repos=[name])
    paths = ("", "/labels", "/milestones", "/branches", "/commits", "/pulls")
    return [f"/repos/{name}{path}" for path in paths]


@pytest.fixture
def fleet(forks: Forks, github: GitHub, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(forks, github.url, tmp_path, STORES)
    yield fleet
    fleet.end()


def runner(fleet: Fleet, name: str, token: str, **variables: str) -> Member:
    """A node that has neither a disk nor peers, but IPFS."""
    return fleet.start(name, "--backends", "ipfs", "--no-p2p", token=token, listen="", **variables)


async def asked(member: Member, targets: list[str]) -> list[bytes]:
    await until(lambda: member.ready, f"{member.name} ready", log=lambda: member.log)
    answers = [await member.get(target) for target in targets]  # a burst would make a busy machine's store late
    assert {answer.status for answer in answers} == {200}
    return [answer.body for answer in answers]


async def ended(member: Member) -> None:
    member.kill(signal.SIGTERM)
    await until(lambda: member.over, f"{member.name} ended")


async def test_the_second_pays_nothing(fleet: Fleet, github: GitHub, daemon: Daemon, targets: list[str]) -> None:
    first = runner(fleet, "first", ONE, CACHE_IPFS_API=daemon.api)
    bodies = await asked(first, targets)
    await ended(first)
    for name, token, variables in (
        ("second", TWO, {"CACHE_IPFS_API": daemon.api}),
        ("reader", OTHER, {"CACHE_IPFS_GATEWAY": daemon.gateway}),
    ):
        member = runner(fleet, name, token, **variables)
        assert await asked(member, targets) == bodies
        assert github.charged(token) == 0, (await member.stats())["stores"]
        (store,) = (await member.stats())["stores"]
        assert (store["name"], store["state"], store["lost"]) == ("ipfs", "closed", 0)
        await ended(member)


async def test_no_request_fails_where_there_is_no_daemon(fleet: Fleet, daemon: Daemon, targets: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    member = runner(fleet, "alone", ONE, CACHE_IPFS_API=f"http://127.0.0.1:{port}")
    await asked(member, targets)
    assert member.log.count("ipfs: the daemon at") == 1
    (store,) = (await member.stats())["stores"]
    assert store["state"] != "closed"
    assert "it cannot be reached" in store["why"]


async def test_a_daemon_that_dies_costs_a_line_and_no_request(fleet: Fleet, targets: list[str], tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "dies")
    try:
        member = runner(fleet, "member", ONE, CACHE_IPFS_API=daemon.api)
        await asked(member, targets[:2])
    finally:
        daemon.kill()
    await asked(member, targets[2:])
    assert member.log.count("the cache goes on without it and tries again") == 1
    (store,) = (await member.stats())["stores"]
    assert (store["state"] == "closed", "it cannot be reached" in store["why"]) == (False, True)
    health = await member.control("healthz")
    assert any(reason.startswith(f"ipfs: the daemon at {daemon.api}: ") for reason in health["reasons"])


@pytest.mark.needs("ipfs-cluster")
async def test_a_pinning_service_keeps_what_the_daemon_loses(
    fleet: Fleet, github: GitHub, daemon: Daemon, targets: list[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    behind = Daemon(tmp_path / "behind")
    cluster = Cluster(tmp_path / "cluster", behind, port)
    try:
        daemon.empty()
        behind.connect(daemon)
        daemon.rpc("pin/remote/service/add", "web", cluster.url, cluster.token)
        first = runner(fleet, "first", ONE, CACHE_IPFS_API=daemon.api, CACHE_IPFS_PIN_SERVICE="web")
        bodies = await asked(first, targets)
        await ended(first)
        await until(lambda: dict(cluster.pinned()) == daemon.pins(), "pinned by the service", 20)
        daemon.empty()
        daemon.disconnect(behind)
        second = runner(fleet, "second", TWO, CACHE_IPFS_API=daemon.api, CACHE_IPFS_GATEWAY=behind.gateway)
        assert await asked(second, targets) == bodies
        assert github.charged(TWO) == 0
        await ended(second)
        kubo = Kubo(daemon.api, "")
        await Pins(kubo, "web", lambda: time.time() + (KEPT_DAYS + 1) * 86_400).expire()
        await kubo.close()
        await until(lambda: not cluster.pinned(), "unpinned by the service", 20)
    finally:
        cluster.kill()
        behind.kill()
