"""Jobs that never meet, each a node of its own without any peer, share through the Actions cache alone."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from p2pcache.testing.actions_cache import READ, WRITE, runtime_token
from tests.support.fleet import Fleet, Member, until
from tests.support.processes import GitHub, running

MAIN, PULL = "refs/heads/main", "refs/pull/7/merge"
ON_MAIN = runtime_token("1", {MAIN: READ | WRITE})
ON_PULL = runtime_token("1", {PULL: READ | WRITE, MAIN: READ})
ALONE = {"CACHE_BACKENDS": "actions", "CACHE_ENABLE_P2P": "false"}
PROBES = tuple(f"/issues?per_page={number}" for number in range(1, 101))
PATHS = ("", "/issues", "/issues/1", "/labels", "/branches", "/commits", "/pulls", "/contents/README.md")


@dataclass
class Service:
    """The stand-in of the Actions cache, through its control addresses."""

    url: str

    def order(self, action: str, **what: object) -> None:
        request = urllib.request.Request(f"{self.url}_stand-in/{action}", json.dumps(what).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def calls(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}_stand-in/calls", timeout=10) as response:
            said: dict[str, Any] = json.load(response)
            return said


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running("p2pcache.testing.actions_cache_server", "--latency", "0.05", home=tmp_path / "service") as said:
        yield Service(said["url"])


async def authorize(member: Member, url: str, token: str = ON_MAIN) -> int:
    """What `post/main.js` sends."""
    given = {"results_url": url, "token": token}
    return (await member.send("POST", "/-/actions", Host="localhost", body=given)).status


def job(fleet: Fleet, name: str, token: str) -> Member:
    return fleet.start(name, "--no-p2p", token=token, **ALONE)


async def answering(member: Member) -> Member:
    await until(lambda: member.ready.get("api_url"), f"{member.name} answers", log=lambda: member.log)
    return member


async def read_all(member: Member, repository: str) -> list[bytes]:
    answers = [await member.get(f"/repos/{repository}{path}") for path in PATHS]
    assert [answer.status for answer in answers] == [200] * len(PATHS)
    return [answer.body for answer in answers]


async def have_packs(member: Member, repository: str) -> None:
    """Wait until packs brought the node what it can prove; each look is at another resource, of `PROBES`."""
    probes = iter(PROBES)

    async def proved() -> bool:
        return (await member.get(f"/repos/{repository}{next(probes)}")).detail == "revalidated"

    await until(proved, f"{member.name} has packs", pause=0.1, log=lambda: member.log)


async def test_a_second_fleet_pays_nothing(
    patient: Fleet, github: GitHub, service: Service, repository: str, tokens: list[str]
) -> None:
    first = await answering(job(patient, "first", tokens[0]))
    assert await authorize(first, service.url) == 200
    bodies = await read_all(first, repository)
    await asyncio.gather(*(first.get(f"/repos/{repository}{path}") for path in PROBES))
    patient.end()
    second = [await answering(job(patient, f"second-{n}", tokens[2 + n])) for n in range(2)]
    for member in second:
        assert await authorize(member, service.url) == 200
        await have_packs(member, repository)
    github.order("reset-calls")
    for member in second:
        assert await read_all(member, repository) == bodies
        (row,) = [store for store in (await member.stats())["stores"] if store["name"] == "actions"]
        assert (row["state"], row["why"], row["refused"]) == ("closed", "", 0)
    assert github.charged() == 0
    assert len(github.log()) == 2 * len(PATHS), "each was proved for the token that asked"


async def test_a_pull_request_has_what_the_default_branch_left_and_not_the_other_way_around(
    patient: Fleet, github: GitHub, service: Service, repository: str, tokens: list[str]
) -> None:
    main = await answering(job(patient, "main", tokens[0]))
    await authorize(main, service.url)
    await asyncio.gather(*(main.get(f"/repos/{repository}{path}") for path in PROBES))
    patient.end()
    pull = await answering(job(patient, "pull", tokens[1]))
    await authorize(pull, service.url, ON_PULL)
    await have_packs(pull, repository)
    await read_all(pull, repository)
    patient.end()
    later = await answering(job(patient, "later", tokens[2]))
    await authorize(later, service.url)
    await have_packs(later, repository)
    github.order("reset-calls")
    await read_all(later, repository)
    assert github.charged() == len(PATHS)


FAULTS = {
    "denied": {"match": "POST *", "status": 403, "body": '{"msg": "cache read denied: no"}'},
    "unauthenticated": {"match": "POST *", "status": 401},
    "missing": {"match": "POST *", "status": 404},
    "conflict": {"match": "POST *", "status": 409, "body": '{"code": "already_exists"}'},
    "limited": {"match": "POST *", "status": 429, "headers": {"Retry-After": "600"}},
    "unavailable": {"match": "POST *", "status": 503},
    "cut": {"match": "POST *", "cut_after": 1},
    "slow": {"match": "POST *", "delay": 60.0},
    "silent": {"match": "POST *", "stall": True},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_service_that_does_not_work_costs_nobody_an_answer(
    patient: Fleet, github: GitHub, service: Service, repository: str, tokens: list[str], fault: str
) -> None:
    service.order("fault", **FAULTS[fault], times=None)
    member = await answering(job(patient, "job", tokens[0]))
    assert await authorize(member, service.url) == 200
    github.order("reset-calls")
    answers = [await member.get(f"/repos/{repository}{path}") for path in PATHS]
    assert [answer.status for answer in answers] == [200] * len(PATHS)
    assert github.charged() == len(PATHS)
    assert "Traceback" not in member.log
    assert ON_MAIN not in member.log
    assert "sig=" not in member.log
    patient.end()


async def test_credentials_that_cannot_be_used_are_refused(patient: Fleet, service: Service, tokens: list[str]) -> None:
    member = await answering(job(patient, "job", tokens[0]))
    assert await authorize(member, "http://results.example/") == 400
    assert await authorize(member, service.url, "no token") == 400
    assert ON_MAIN not in json.dumps(await member.stats())
    assert service.calls()["calls"] == {}
