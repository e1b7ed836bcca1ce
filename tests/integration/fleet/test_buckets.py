"""Fleets that never meet share through a bucket, and a bucket that is of no use costs a line of the log."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import STORES, Answer, Fleet, Member, until
from tests.support.forks import Forks
from tests.support.processes import GitHub, running
from tests.support.s3_server import SECRET, FaultProxy, S3Server, hanging, s3_server

pytestmark = pytest.mark.needs("versitygw")

LINE = "the cache goes on without it"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def patient(forks: Forks, github: GitHub, tmp_path: Path) -> Iterator[Fleet]:
    """Nodes that wait for a bucket on a busy machine."""
    fleet = Fleet(forks, github.url, tmp_path, STORES)
    yield fleet
    fleet.end()


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory, tokens: list[str]) -> Iterator[GitHub]:
    given = [f"--token={token}=octo/app" for token in tokens[:2]]
    with running("p2pcache.testing", *given, home=tmp_path_factory.mktemp("github")) as said:
        yield GitHub(said["url"])


def targets(repository: str) -> list[str]:
    kinds = ("", "/issues?per_page=50", "/labels", "/branches", "/commits", "/pulls", "/contributors")
    return [f"/repos/{repository}{kind}" for kind in kinds]


async def started(fleet: Fleet, name: str, token: str, variables: dict[str, str]) -> Member:
    """A node that no other reaches."""
    member = fleet.start(name, "--no-p2p", "--backends", "s3", token=token, **variables)
    await until(lambda: "api_url" in member.ready, f"{name} started", log=lambda: member.log)
    return member


async def row(member: Member) -> dict[str, Any]:
    """What the node's statistics say of the bucket."""
    (found,) = (await member.stats())["stores"]
    assert found["name"] == "s3"
    return dict(found)


async def read(member: Member, repository: str) -> list[Answer]:
    return await asyncio.gather(*(member.get(target) for target in targets(repository)))


async def ended(member: Member) -> None:
    member.kill(signal.SIGTERM)
    await until(lambda: member.over, f"{member.name} ended")


async def test_the_second_fleet_pays_nothing(
    patient: Fleet, github: GitHub, server: S3Server, repository: str, tokens: list[str]
) -> None:
    bucket = server.bucket()
    variables = server.variables(bucket)
    first = await started(patient, "monday", tokens[0], variables)
    bodies = [answer.body for answer in await read(first, repository)]

    def records() -> int:
        return sum("v1/p/" in key for key in server.objects(bucket))

    # At its end it has 5 s for what it did not write yet, which are few on a busy machine.
    await until(lambda: records() == len(targets(repository)), "all that the first stored", log=lambda: first.log)
    await ended(first)
    second = await started(patient, "tuesday", tokens[1], variables)
    charged = github.charged()
    answers = await read(second, repository)
    assert [answer.body for answer in answers] == bodies
    assert {answer.detail for answer in answers} == {"revalidated"}, second.log
    assert github.charged() == charged
    assert (await row(second))["state"] == "closed"
    assert SECRET not in first.log + second.log


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the secret access key does not belong to the access key"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no credentials: set AWS_ACCESS_KEY_ID"),
        ({"CACHE_S3_BUCKET": ""}, "no bucket is named: set CACHE_S3_BUCKET"),
    ],
    ids=["wrong", "none", "nowhere"],
)
async def test_a_bucket_that_cannot_be_used_is_one_line_of_the_log(
    fleet: Fleet,
    github: GitHub,
    server: S3Server,
    repository: str,
    tokens: list[str],
    changed: dict[str, str],
    sentence: str,
) -> None:
    node = await started(fleet, "alone", tokens[0], {**server.variables(server.bucket()), **changed})
    assert {answer.status for answer in await read(node, repository)} == {200}
    await until(lambda: LINE in node.log, "the line", log=lambda: node.log)
    lines = [line for line in node.log.splitlines() if LINE in line]
    assert len(lines) == 1
    assert sentence in lines[0]
    if "CACHE_S3_BUCKET" not in changed:
        assert (await row(node))["state"] == "open"
        assert any(sentence in reason for reason in (await node.control("healthz"))["reasons"])


async def test_a_bucket_that_hangs_makes_nobody_wait(
    fleet: Fleet, github: GitHub, server: S3Server, repository: str, tokens: list[str]
) -> None:
    """Less than a bucket's own deadlines for all of it together, however slow the machine is."""
    async with FaultProxy(server.url, hanging) as proxy:
        node = await started(fleet, "hung", tokens[0], server.variables(server.bucket(), proxy.address))
        assert {answer.status for answer in await read(node, repository)} == {200}
        await until(lambda: LINE in node.log, "the line", log=lambda: node.log)
        assert (await node.stats())["misses"] == len(targets(repository))
        await ended(node)
