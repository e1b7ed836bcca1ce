"""Charged calls of a fleet: jobs with a token each, a popularity as on the web, matrices that start concurrently.

Run it alone: ``python bench/fleet.py [--runners 20] [--waves 4] [--requests 40]``; exit status 1 if the target is
missed. GitHub is the stand-in without a socket; the engine is the real one, with peers in memory. Between two waves
ten minutes pass, in which some objects change. Compared are: no cache; a cache with ordinary ETags in each job, as
with ghproxy, hishel and requests-cache, since GitHub's ETags depend on the token; p2pcache with sharing among the jobs
of a repository (`share: scope`); and p2pcache with a proof for each token (`share: verified`). Files as JSON have tags
that prove nothing to another scope, so each scope pays once for each body. The second trace reads files in a third of
its requests.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from p2pcache.cache.answer import Cached, Forwarded
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.wanted import ScopePolicy
from p2pcache.github.request import Request
from p2pcache.testing import MemorySwarm, StandIn, Verdict
from p2pcache.testing.direct import Direct
from p2pcache.testing.nodes import Clock, MemoryNode

TARGET = 1.05
"""Charged calls as a multiple of the distinct bodies served; for files, distinct per scope."""
REPOSITORIES = ("octo/app", "octo/lib", "octo/tools", "octo/docs")
BETWEEN_WAVES = 600.0
BETWEEN_REQUESTS = 0.5
PLENTY = 10**9


@dataclass(frozen=True)
class Shape:
    """The size of a fleet and its workload."""

    runners: int
    waves: int
    requests: int
    files: bool = False


@dataclass
class Outcome:
    """The counts of one run."""

    requests: int = 0
    asked: int = 0
    charged: int = 0
    distinct: int = 0


class World:
    """One GitHub, equal in each run."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.github = StandIn(clock=self.clock)
        for number, name in enumerate(REPOSITORIES):
            self.github.repository(name, issues=24 + 7 * number, pulls=5, commits=25, private=name == "octo/docs")
        self.upstream = Direct(self.github)
        self.upstream.around = self._takes_a_while
        self.bodies: set[tuple[str, bytes, str]] = set()

    async def _takes_a_while(self, _request: Request, answer: Callable[[], Verdict]) -> Verdict:
        verdict = answer()
        for _step in range(5):  # long enough for the requests of a whole matrix
            await asyncio.sleep(0)
        return verdict

    def targets(self) -> list[str]:
        """Return the requested targets, most popular first."""
        head = self.github.ask("GET", "/repos/octo/app/commits?per_page=1", {}).body[9:49].decode()
        kinds = (
            *("", "/issues", "/releases", "/pulls", "/labels", "/contents/README.md", "/commits", "/branches"),
            *("/issues?per_page=10", "/issues?per_page=10&page=2", "/milestones", "/releases/latest", "/actions/runs"),
            *(f"/issues/{number}" for number in range(1, 16)),
        )
        every = [f"/repos/{name}{kind}" for kind in kinds for name in REPOSITORIES]
        full = "/repos/octo/app/labels?per_page=4"  # a full last page, which needs an unconditional request
        return [*every[:4], f"/repos/octo/app/git/commits/{head}", "/user/repos", *every[4:], full]

    def job(self, number: int) -> str:
        """Return the token of a new job."""
        token = f"ghs_{number}"
        self.github.token(token, repos=REPOSITORIES, limit=PLENTY)
        return token

    def change(self, wave: int, chance: random.Random) -> None:
        """Advance the clock by ten minutes and change some objects."""
        self.clock.sleep(BETWEEN_WAVES)
        name = chance.choice(REPOSITORIES)
        self.github.edit(name, issue=chance.randint(1, 15), body=f"edited in wave {wave}")
        self.github.edit(chance.choice(REPOSITORIES), description=f"edited in wave {wave}")


class Runner(Protocol):
    """A runner of jobs."""

    def begin(self, token: str) -> None:
        """Begin a new job."""

    @property
    def scope(self) -> str:
        """The scope in which an answer is valid."""

    async def get(self, target: str) -> bytes:
        """Send one request of the job."""


class Ordinary:
    """A cache with the ETags of its own job: fresh for a minute, then a conditional request."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.begin("")

    def begin(self, token: str) -> None:
        # The cache ends with the job; the next token could not use it.
        self._token = token
        self._kept: dict[str, tuple[float, str, bytes]] = {}

    @property
    def scope(self) -> str:
        return self._token

    async def get(self, target: str) -> bytes:
        now = self._world.clock()
        until, tag, body = self._kept.get(target, (0.0, "", b""))
        if now < until:
            return body
        headers = {"authorization": f"Bearer {self._token}"} | ({"if-none-match": tag} if tag else {})
        verdict = self._world.github.ask("GET", target, headers)
        body = body if verdict.status == 304 else verdict.body
        if verdict.tag:
            self._kept[target] = (now + 60, f'"{verdict.tag}"', body)
        return body


class Swarming:
    """A node of a swarm, which runs one job after the other."""

    def __init__(self, node: MemoryNode, *, share: bool) -> None:
        self._node = node
        self._share = share
        self._token = ""

    def begin(self, token: str) -> None:
        self._token = token
        self._node.identity = ScopePolicy(token, REPOSITORIES[0], per_credential=not self._share)

    @property
    def scope(self) -> str:
        return REPOSITORIES[0] if self._share else self._token

    async def get(self, target: str) -> bytes:
        answer = await self._node.get(target, self._token)
        assert isinstance(answer, Cached | Forwarded), answer
        return answer.entry.block.body if isinstance(answer, Cached) else answer.body or b""


async def simulate(shape: Shape, world: World, runners: Sequence[Runner]) -> Outcome:
    """Run waves of jobs: first the common requests of the matrix, in step, then each job's own."""
    chance, outcome = random.Random(7), Outcome()
    targets = world.targets()
    weights = [1 / rank for rank in range(1, len(targets) + 1)]
    files = [
        target for name in REPOSITORIES for target in (f"/repos/{name}/readme", f"/repos/{name}/contents/README.md")
    ]
    world.github.reset_calls()
    for wave in range(shape.waves):
        matrix = chance.choices(targets, weights, k=shape.requests // 2)
        jobs = []
        for place, runner in enumerate(runners):
            runner.begin(world.job(wave * len(runners) + place))
            job = [*matrix, *chance.choices(targets, weights, k=shape.requests - len(matrix))]
            if shape.files:
                job[::3] = [files[at % len(files)] for at in range(len(job[::3]))]
            jobs.append(job)
        for asked in zip(*jobs, strict=True):
            bodies = await asyncio.gather(*(runner.get(target) for runner, target in zip(runners, asked, strict=True)))
            for runner, target, body in zip(runners, asked, bodies, strict=True):
                file = "/contents/" in target or target.endswith("/readme")
                world.bodies.add((target, body, runner.scope if file else ""))
            outcome.requests += len(asked)
            world.clock.sleep(BETWEEN_REQUESTS)
        world.change(wave, chance)
    outcome.charged, outcome.asked = world.github.charged(), len(world.github.calls)
    outcome.distinct = len(world.bodies)
    return outcome


def ordinary(world: World, count: int) -> list[Runner]:
    return [Ordinary(world) for _ in range(count)]


def swarming(world: World, count: int, *, share: bool) -> list[Runner]:
    swarm, keyring = MemorySwarm(), Keyring.ephemeral()
    nodes = (
        MemoryNode(world.upstream, world.clock, keyring=keyring, peer=swarm.join(), verified=not share)
        for _ in range(count)
    )
    return [Swarming(node, share=share) for node in nodes]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runners", type=int, default=20)
    parser.add_argument("--waves", type=int, default=4)
    parser.add_argument("--requests", type=int, default=40)
    given = Shape(**vars(parser.parse_args()))
    reached = [compare(given), compare(replace(given, files=True))]
    return 0 if all(reached) else 1


def compare(shape: Shape) -> bool:
    """Run one trace through each system and return whether the target is reached."""
    if shape.files:
        print("\nthe same with a third of the reads from files")
    print(f"{shape.waves} waves of {shape.runners} jobs, each with a token of its own and {shape.requests} requests")
    print(f"{'':30}{'requests':>9}{'asked':>7}{'charged':>9}{'bodies':>8}{'charged/body':>14}{'s':>6}")
    outcome = run("each job its own ETag cache", shape, ordinary)
    row("no cache", Outcome(outcome.requests, outcome.requests, outcome.requests, outcome.distinct))
    ours = [
        run("p2pcache, share: scope", shape, partial(swarming, share=True)),
        run("p2pcache, share: verified", shape, partial(swarming, share=False)),
    ]
    reached = all(each.charged <= TARGET * each.distinct for each in ours)
    print(f"target: p2pcache is charged at most {TARGET} x distinct bodies: {'reached' if reached else 'MISSED'}")
    return reached


def run(name: str, shape: Shape, fleet: Callable[[World, int], list[Runner]]) -> Outcome:
    world, started = World(), time.perf_counter()
    outcome = asyncio.run(simulate(shape, world, fleet(world, shape.runners)))
    row(name, outcome, time.perf_counter() - started)
    return outcome


def row(name: str, outcome: Outcome, seconds: float = 0.0) -> None:
    took = f"{seconds:6.1f}" if seconds else ""
    numbers = f"{outcome.requests:9}{outcome.asked:7}{outcome.charged:9}{outcome.distinct:8}"
    print(f"{name:30}{numbers}{outcome.charged / outcome.distinct:14.3f}{took}")


if __name__ == "__main__":
    sys.exit(main())
