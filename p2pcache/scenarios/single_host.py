"""Jobs that are processes of this machine: without a cache, each with its own, and with peers."""

from __future__ import annotations

from p2pcache.scenarios.outcome import Figures
from p2pcache.scenarios.places import UnexpectedError
from p2pcache.scenarios.scenario import Scenario, Series, joined


async def _no_cache(series: Series) -> Figures:
    async with series.here() as (trial, _):
        await trial.start_github()
        return await trial.work(trial.names(), cache=False)


async def _no_p2p(series: Series) -> Figures:
    async with series.here() as (trial, _):
        await trial.start_github()
        found = await trial.work(await trial.start_fleet(p2p=False), p2p=False)
    if found.charged >= found.requests:
        raise UnexpectedError("no request was answered from a runner's own cache")
    return found


async def _one_host(series: Series) -> Figures:
    async with series.here() as (trial, _):
        return await joined(trial)


SCENARIOS = (
    Scenario("no-cache", "no cache", "each job asks GitHub itself", _no_cache),
    Scenario("no-p2p", "cache without P2P", "each job has a cache of its own", _no_p2p),
    Scenario("one-host", "P2P on one host", "a hub and jobs that are processes of this machine", _one_host),
)
