"""Twenty nodes that want the same things at the same moment: what that costs, exactly, with no machine to be slow.

Whole caches around the real arbiter and the stand-in GitHub, in one event loop and by a clock that a test sets. What
stays true of real processes, however busy their machine is, is in tests/integration/fleet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from p2pcache.cache.answer import Answer, Cached
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.wanted import ScopePolicy
from p2pcache.github.request import Request
from p2pcache.testing import MemorySwarm, StandIn, Verdict
from p2pcache.testing.direct import Direct
from p2pcache.testing.nodes import Clock, MemoryNode

SIZE = 20
APP = "octo/app"
PATHS = (
    *("", "/issues", "/issues/1", "/labels", "/branches", "/commits", "/releases/latest", "/pulls"),
    *("/contents/README.md", "/actions/runs"),
)
TARGETS = [f"/repos/{APP}{path}" for path in PATHS]


class Fleet:
    """Nodes of one swarm; their calls are answered when all that ask are waiting."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.github = StandIn(clock=self.clock)
        self.github.populate()
        self.upstream = Direct(self.github)
        self.upstream.around = self._around
        self.swarm = MemorySwarm()
        self.keyring = Keyring.ephemeral()
        self.nodes: list[MemoryNode] = []
        self.tokens: list[str] = []
        self.opened = asyncio.Event()
        self.opened.set()

    async def _around(self, request: Request, answer: Callable[[], Verdict]) -> Verdict:
        await self.opened.wait()
        return answer()

    def join(self, token: str, repository: str = APP) -> MemoryNode:
        """The node of a job of `repository`."""
        self.github.token(token, repos=[repository])
        policy = ScopePolicy(token, repository, per_credential=False)
        node = MemoryNode(self.upstream, self.clock, keyring=self.keyring, peer=self.swarm.join(), identity=policy)
        self.nodes.append(node)
        self.tokens.append(token)
        return node

    async def all_ask(self, targets: Sequence[str]) -> list[Answer]:
        """Every node everything, and GitHub answers when nobody can get any further without it."""
        self.github.reset_calls()
        self.opened.clear()
        asked = [
            asyncio.ensure_future(node.get(target, token))
            for node, token in zip(self.nodes, self.tokens, strict=True)
            for target in targets
        ]
        await self.idle()
        self.opened.set()
        return await asyncio.gather(*asked)

    async def idle(self) -> None:
        """Let everybody get as far as they can."""
        for _ in range(200):
            await asyncio.sleep(0)

    @property
    def calls(self) -> list[str]:
        """What GitHub was asked since the burst began."""
        return [call.target for call in self.github.calls]

    @property
    def charged(self) -> int:
        """How many of these calls cost quota."""
        return sum(call.charged for call in self.github.calls)


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    made = Fleet()
    yield made
    for node in made.nodes:
        await node.close()
    assert made.upstream.open == 0


def right(fleet: Fleet, answers: list[Answer]) -> None:
    """Each node was given what GitHub gives its token, byte for byte."""
    wanted = [(token, target) for token in fleet.tokens for target in TARGETS]
    for answer, (token, target) in zip(answers, wanted, strict=True):
        assert isinstance(answer, Cached), answer
        headers = {"accept": "application/vnd.github+json", "authorization": f"Bearer {token}"}
        assert answer.entry.block.body == fleet.github.ask("GET", target, headers).body


async def test_ten_cold_urls_asked_by_twenty_nodes_are_ten_calls(fleet: Fleet) -> None:
    for number in range(SIZE):
        fleet.join(f"ghs_app{number}")
    answers = await fleet.all_ask(TARGETS)
    assert sorted(fleet.calls) == sorted(TARGETS)
    assert fleet.charged == len(TARGETS)
    right(fleet, answers)


async def test_tokens_of_other_repositories_prove_free_of_charge_what_was_paid_for_once(fleet: Fleet) -> None:
    for number in range(4):
        fleet.github.repository(f"octo/other{number}")
    for number in range(SIZE):
        fleet.join(f"ghs_other{number}", f"octo/other{number % 4}")
    answers = await fleet.all_ask(TARGETS)
    # A file as JSON is proved among the jobs of one repository alone: each of the four pays for it.
    assert fleet.charged == len(TARGETS) + 3
    assert len(fleet.calls) == 4 * len(TARGETS)
    right(fleet, answers)


async def test_each_holder_that_dies_costs_one_call(fleet: Fleet) -> None:
    for number in range(SIZE):
        fleet.join(f"ghs_app{number}")
    fleet.opened.clear()
    target = TARGETS[0]
    asked = [asyncio.ensure_future(n.get(target, t)) for n, t in zip(fleet.nodes, fleet.tokens, strict=True)]
    await fleet.idle()
    fleet.swarm.peers[0].die()
    fleet.swarm.peers[1].die()
    await fleet.idle()
    fleet.opened.set()
    await asyncio.gather(*asked)
    assert len(fleet.calls) == 3


async def test_after_a_write_twenty_nodes_ask_once(fleet: Fleet) -> None:
    for number in range(SIZE):
        fleet.join(f"ghs_app{number}")
    target = f"/repos/{APP}/issues/1"
    await fleet.all_ask([target])
    fleet.github.edit(APP, issue=1, title="changed")
    await fleet.nodes[3].wrote("PATCH", target)
    fleet.clock.sleep(0.001)  # what is proved in the instant of a drop counts as older
    answers = await fleet.all_ask([target])
    assert fleet.calls == [target]
    assert all(isinstance(answer, Cached) and b'"changed"' in answer.entry.block.body for answer in answers)
