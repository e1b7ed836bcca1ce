"""Twenty jobs that share nothing but the Actions cache: what that saves, and how often the service is called.

The real tier, in virtual time, against the stand-in of the service. The workload and the figures to compare with are
those of the simulation by which the scheme was chosen (docs/actions-cache.md).
"""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass

import msgspec
import pytest

from p2pcache.stores.actions.pack_tier import PackTier
from p2pcache.testing.actions_cache import ActionsCache, runtime_token
from p2pcache.testing.conformance import KEYRING, Stored, make
from p2pcache.values import Secret
from tests.support import virtual_time
from tests.support.distant_cache import DistantCache, connecting

JOBS = 20
STARTED_WITHIN = 60.0
LATENCY, LAG, GITHUB = 0.25, 3.0, 0.2
"""Seconds: each request of the service, until an entry is found (a mean), an answer of GitHub."""
RESOURCES = 400
BODY = 6_000
"""Bytes that do not compress: a page of JSON, compressed."""
WEIGHTS = list(itertools.accumulate(1 / rank for rank in range(1, RESOURCES + 1)))
MAIN = "refs/heads/main"


def entries() -> list[Stored]:
    bodies = random.Random(7)
    return [make(f"/resource/{number}", body=bodies.randbytes(BODY)) for number in range(RESOURCES)]


ENTRIES = entries()


def script(chance: random.Random) -> list[tuple[float, int]]:
    """When a job reads what: 10 to 120 reads, the popular ones more often; half at once, half over three minutes."""
    wanted = chance.choices(range(RESOURCES), cum_weights=WEIGHTS, k=chance.randint(10, 120))
    half = len(wanted) // 2
    at = [0.3 * number for number in range(half)]
    at += sorted(chance.uniform(at[-1] if at else 0.0, 180.0) for _ in wanted[half:])
    return [*zip(at, wanted, strict=True)]


@dataclass
class Run:
    """One run of a workflow, and what it cost; another `day` its jobs read the same and start at other moments."""

    workflow: int
    day: int
    cache: ActionsCache
    scarce: bool = False
    lockstep: bool = False
    within: float = STARTED_WITHIN
    charged: int = 0
    alone: int = 0

    async def job(self, number: int) -> None:
        reads = script(random.Random(f"{self.workflow} {0 if self.lockstep else number}"))
        chance = random.Random(f"{self.workflow} {number} {self.day}")
        self.alone += len({wanted for _, wanted in reads})
        await asyncio.sleep(chance.uniform(0, self.within))
        now = asyncio.get_running_loop().time
        service = DistantCache(self.cache, {MAIN: 3}, LATENCY)
        tier = PackTier(KEYRING, connect=connecting(service), clock=now, jitter=chance.random)
        await tier.authorize("", Secret(runtime_token("1", {MAIN: 3}, f"run-{self.day}")))
        begun, have = now(), set[int]()
        for at, wanted in reads:
            await asyncio.sleep(max(0.0, begun + at - now()))
            if wanted not in have:
                have.add(wanted)
                await self._read(tier, wanted)
        await tier.close()

    async def _read(self, tier: PackTier, wanted: int) -> None:
        entry = ENTRIES[wanted]
        candidates = await tier.find(entry.pointer.name)
        if not candidates and self.scarce and await tier.arrival(entry.pointer.name):
            candidates = await tier.find(entry.pointer.name)
        self.charged += not any([await tier.block(pointer) == entry.sealed for pointer in candidates])
        await asyncio.sleep(GITHUB)
        proved = msgspec.structs.replace(entry.pointer, proved_at=asyncio.get_running_loop().time())
        await tier.store(proved, entry.sealed)

    async def all_jobs(self) -> None:
        await asyncio.gather(*(self.job(number) for number in range(JOBS)))


def two_runs(seed: int, **limits: int) -> tuple[Run, Run, ActionsCache]:
    async def both() -> tuple[Run, Run, ActionsCache]:
        cache = ActionsCache(asyncio.get_running_loop().time, lag=LAG, seed=seed, **limits)
        first, second = Run(seed, 1, cache), Run(seed, 2, cache)
        await first.all_jobs()
        await asyncio.sleep(3600.0)
        await second.all_jobs()
        return first, second, cache

    return virtual_time.run(both())


SEEDS = 3
SIMULATED = 0.556
"""Charged calls of a first run by those without sharing, in the simulation: 439 of 789 (12 seeds)."""


@pytest.fixture(scope="module")
def runs() -> list[tuple[Run, Run, ActionsCache]]:
    return [two_runs(seed) for seed in range(SEEDS)]


def test_the_first_run_saves_what_the_simulation_did(runs: list[tuple[Run, Run, ActionsCache]]) -> None:
    charged, alone = sum(first.charged for first, _, _ in runs), sum(first.alone for first, _, _ in runs)
    assert charged <= 1.15 * SIMULATED * alone


def test_a_second_run_pays_next_to_nothing(runs: list[tuple[Run, Run, ActionsCache]]) -> None:
    charged, alone = sum(second.charged for _, second, _ in runs), sum(second.alone for _, second, _ in runs)
    assert charged <= 0.15 * alone


def test_jobs_of_one_script_wait_for_the_first_while_the_quota_is_short() -> None:
    async def charged(*, scarce: bool) -> float:
        cache = ActionsCache(asyncio.get_running_loop().time, lag=LAG)
        run = Run(1, 1, cache, scarce=scarce, lockstep=True)
        await run.all_jobs()
        assert cache.busiest_minute("GetCacheEntryDownloadURL") <= 200
        return run.charged / run.alone

    assert virtual_time.run(charged(scarce=True)) <= 0.6 * virtual_time.run(charged(scarce=False))


def test_the_service_is_called_within_its_bounds(runs: list[tuple[Run, Run, ActionsCache]]) -> None:
    for _, _, cache in runs:
        assert cache.busiest_minute("CreateCacheEntry") <= 50
        assert cache.busiest_minute("GetCacheEntryDownloadURL") <= 200
        assert sum(len(entry.data or b"") for entry in cache.saved()) <= 40e6
