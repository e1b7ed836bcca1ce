"""Twenty jobs that start together, through a hub and without one: every answer is right, and GitHub was asked for it.

How many calls that is, exactly, is in tests/property/test_bursts.py: here the machine may be too slow for its peers,
and a member that gives up waiting asks GitHub itself.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tests.support.fleet import PATIENT, Answer, Fleet, Member, until
from tests.support.forks import Forks
from tests.support.processes import GitHub

pytestmark = pytest.mark.timeout(400)

SECONDS = 120.0
PATHS = (
    *("", "/issues", "/issues/1", "/labels", "/branches", "/commits", "/releases/latest", "/pulls"),
    *("/contents/README.md", "/actions/runs"),
)


@dataclass
class Crowd:
    """A hub and twenty members that outlive a test; a test says whether it wants the hub."""

    fleet: Fleet
    tokens: list[str]
    hub: Member | None = None
    members: list[Member] = field(default_factory=list)

    async def with_hub(self) -> list[Member]:
        """The hub at work, started again where a test ended it."""
        if self.hub is None:
            self.hub = await self.fleet.hub(token=self.tokens[0])
            self.members = await self.fleet.joined(self.hub, *self.tokens)
        elif self.hub.over:
            await self.fleet.restart(self.hub, self.hub.ready["multiaddrs"][0].partition("/p2p/")[0]).until_ready()
        await asyncio.gather(*(member.until_connected(self.hub, seconds=SECONDS) for member in self.members))
        return self.members

    async def without_hub(self) -> list[Member]:
        """The hub killed, and all linked to all: they do that when there is no hub."""
        await self.with_hub()
        assert self.hub is not None
        await asyncio.gather(
            *(until(partial(self._knows_all, member), "all known", SECONDS) for member in self.members)
        )
        self.hub.kill()
        await asyncio.gather(
            *(
                member.until_connected(*(m for m in self.members if m is not member), seconds=SECONDS)
                for member in self.members
            )
        )
        return self.members

    async def _knows_all(self, member: Member) -> bool:
        return bool((await member.stats())["peers"]["known"] >= len(self.members))


@pytest.fixture(scope="module")
def crowd(forks: Forks, github: GitHub, tokens: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    # A peer that is only slow shall not add a call where it can be helped.
    fleet = Fleet(forks, github.url, tmp_path_factory.mktemp("crowd"), **PATIENT)
    yield Crowd(fleet, tokens)
    fleet.end()


@pytest.fixture
def mixed(tokens: list[str], strangers: list[str]) -> list[str]:
    """A token for each member, of four repositories in turn."""
    return [strangers[number % 4] for number in range(len(tokens))]


@pytest.fixture
def cold(github: GitHub, repository: str, tokens: list[str]) -> dict[str, bytes]:
    """Ten addresses nobody asked for, with what GitHub answers."""
    targets = [f"/repos/{repository}{path}" for path in PATHS]
    answers = {target: github.get(target, tokens[0]) for target in targets}
    github.order("reset-calls")
    return answers


async def ledgers(members: list[Member]) -> Counter[str]:
    """What the members say they asked GitHub, in all."""
    counted: Counter[str] = Counter()
    for stats in await asyncio.gather(*(member.stats() for member in members)):
        counted.update({name: stats["upstream"][name] for name in ("calls", "charged", "not_modified")})
    return counted


async def burst(
    members: list[Member], cold: dict[str, bytes], github: GitHub, tokens: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Every member asks for everything at once; what GitHub was asked meanwhile.

    However slow the machine is: every answer is right, nobody asks twice, and the ledgers say what GitHub saw.
    """
    before = await ledgers(members)
    tokens = list(tokens) or [member.token for member in members]
    asked = [(target, m.get(target, token=token)) for m, token in zip(members, tokens, strict=True) for target in cold]
    answers: list[Answer] = await asyncio.gather(*(answer for _, answer in asked))
    given = list(zip((target for target, _ in asked), answers, strict=True))
    assert [(target, a.status) for target, a in given if (a.status, a.body) != (200, cold[target])] == []
    calls = github.log()
    assert {call["target"] for call in calls} == cold.keys()
    assert max(Counter(call["target"] for call in calls).values()) <= len(members)
    counted = await ledgers(members)
    counted.subtract(before)
    assert counted["calls"] == len(calls)
    assert counted["charged"] == sum(call["charged"] for call in calls) == github.charged()
    assert counted["not_modified"] == sum(call["status"] == 304 for call in calls)
    return calls


async def test_a_burst_through_a_hub(crowd: Crowd, github: GitHub, cold: dict[str, bytes]) -> None:
    await burst(await crowd.with_hub(), cold, github)


async def test_a_burst_of_tokens_of_other_repositories(
    crowd: Crowd, github: GitHub, mixed: list[str], cold: dict[str, bytes]
) -> None:
    calls = await burst(await crowd.with_hub(), cold, github, mixed)
    asked = {(call["token"], call["target"]) for call in calls}
    assert asked == {(token, target) for token in mixed for target in cold}, "no scope is given what it did not prove"


async def test_a_burst_with_the_hub_gone(crowd: Crowd, github: GitHub, cold: dict[str, bytes]) -> None:
    await burst(await crowd.without_hub(), cold, github)
