"""Twenty jobs that start together: what they want is paid for once, through a hub and without one."""

import asyncio
from functools import partial

import pytest

from tests.support.fleet import PATIENT, Fleet, until

pytestmark = pytest.mark.xdist_group("fleet")

PATHS = (
    *("", "/issues", "/issues/1", "/labels", "/branches", "/commits", "/releases/latest", "/pulls"),
    *("/contents/README.md", "/actions/runs"),
)


class Crowd:
    """A hub and twenty members that outlive a test; a test says whether it wants the hub."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.hub = None
        self.members = []

    async def with_hub(self, tokens):
        """The hub at work: for the tests that come first."""
        if self.hub is None:
            self.hub = await self.fleet.hub(token=tokens[0])
            self.members = await self.fleet.joined(self.hub, *tokens)
        await asyncio.gather(*(member.until_connected(self.hub) for member in self.members))
        return self.members

    async def without_hub(self, tokens):
        """The hub killed, and all linked to all: they do that when there is no hub."""
        if self.hub is None:
            await self.with_hub(tokens)
        await asyncio.gather(*(until(partial(self._knows_all, member), "all known") for member in self.members))
        self.hub.kill()
        await asyncio.gather(
            *(member.until_connected(*(m for m in self.members if m is not member)) for member in self.members)
        )
        return self.members

    async def _knows_all(self, member):
        return (await member.stats())["peers"]["known"] >= len(self.members)


@pytest.fixture(scope="module")
def crowd(forks, github, tmp_path_factory):
    # The machine is shared: what is counted is calls, and a peer that is only slow shall not add one.
    fleet = Fleet(forks, github.url, tmp_path_factory.mktemp("crowd"), **PATIENT)
    yield Crowd(fleet)
    fleet.stop()


@pytest.fixture
def mixed(tokens, strangers):
    """A token for each member, of four repositories in turn."""
    return [strangers[number % 4] for number in range(len(tokens))]


@pytest.fixture
def cold(github, repository, tokens):
    """Ten addresses nobody asked for, with what GitHub answers."""
    targets = [f"/repos/{repository}{path}" for path in PATHS]
    answers = {target: github.get(target, tokens[0]) for target in targets}
    github.order("reset-calls")
    return answers


async def all_ask(members, targets, tokens=()):
    """Every member everything at once: targets and answers."""
    tokens = tokens or [member.token for member in members]
    asked = [
        (target, member.get(target, token=token))
        for member, token in zip(members, tokens, strict=True)
        for target in targets
    ]
    answers = await asyncio.gather(*(answer for _, answer in asked))
    return list(zip((target for target, _ in asked), answers, strict=True))


def wrong(answered, right):
    return [(target, a.status) for target, a in answered if (a.status, a.body) != (200, right[target])]


@pytest.mark.timeout(120)
async def test_ten_cold_urls_asked_by_twenty_nodes_are_ten_calls(crowd, github, tokens, cold):
    members = await crowd.with_hub(tokens)
    answered = await all_ask(members, cold)
    assert wrong(answered, cold) == []
    assert sorted(target for _, target in github.calls()) == sorted(cold)
    assert github.charged() == 10


@pytest.mark.timeout(120)
async def test_tokens_of_other_repositories_prove_for_nothing_what_was_paid_for_once(
    crowd, github, tokens, mixed, cold
):
    members = await crowd.with_hub(tokens)
    answered = await all_ask(members, cold, mixed)
    assert wrong(answered, cold) == []
    # A file as JSON is proved among the jobs of one repository alone: each of the four pays for it.
    assert github.charged() == 10 + 3


@pytest.mark.timeout(120)
async def test_with_the_hub_gone_a_burst_is_still_paid_for_once(crowd, github, tokens, cold):
    members = await crowd.without_hub(tokens)
    answered = await all_ask(members, cold)
    assert wrong(answered, cold) == []
    assert len(github.calls()) == 10
    assert github.charged() == 10
