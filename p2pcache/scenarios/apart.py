"""Two fleets that never meet: the second one starts when the first has ended, and has its store alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from p2pcache.scenarios.fleet import FIRST, SECOND, Trial
from p2pcache.scenarios.outcome import Figures
from p2pcache.scenarios.places import UnexpectedError
from p2pcache.scenarios.scenario import Scenario, Series
from p2pcache.scenarios.services import actions_cache, bucket, daemon

PACK_SECONDS = 20.0
_LOOKED_UP = 2
"""Calls of the Actions cache that find and fetch a pack."""


async def _over_s3(series: Series) -> Figures:
    series.progress("starting the S3 server")
    async with series.here() as (trial, machine), bucket(machine) as variables:
        return await _second_of_two(trial, "s3", variables)


async def _over_ipfs(series: Series) -> Figures:
    series.progress("starting the IPFS daemon")
    async with series.here() as (trial, machine), daemon(machine) as variables:
        return await _second_of_two(trial, "ipfs", variables)


async def _over_actions(series: Series) -> Figures:
    async with series.here() as (trial, _), actions_cache() as credentials:
        return await _second_of_two(trial, "actions", {}, credentials)


async def _second_of_two(
    trial: Trial, store: str, variables: Mapping[str, str], credentials: Mapping[str, str] | None = None
) -> Figures:
    """Return the figures of the second fleet; `credentials` are the Actions cache's.

    Raises:
        UnexpectedError: it had nothing of the first one's.
    """
    await trial.start_github()
    await trial.work(await _fleet(trial, FIRST, store, variables, credentials))
    await trial.end_fleet()
    names = await _fleet(trial, SECOND, store, variables, credentials)
    if credentials:
        await _packs_arrived(trial, names, store)
    found = await trial.work(names)
    if found.charged >= trial.load.resources:
        why = await _trouble(trial, names[0], store)
        raise UnexpectedError(
            f"the second fleet had nothing of the first: {why or f'{found.charged} calls were charged'}"
        )
    return found


async def _trouble(trial: Trial, name: str, store: str) -> str:
    """Return why a node does not use a store; empty if it does."""
    stats = await trial.place.order(name, "ask", at=trial.socket(name), target="/-/stats")
    rows = {row["name"]: row["why"] for row in stats["stores"]}
    return str(rows.get(store, f"its settings name no {store} that can be used"))


async def _fleet(
    trial: Trial, name: str, store: str, variables: Mapping[str, str], credentials: Mapping[str, str] | None
) -> list[str]:
    names = await trial.start_fleet(name, hub=False, flags=("--backends", f"disk,p2p,{store}"), variables=variables)
    await trial.connect(names)
    if credentials:
        for each in names:
            await trial.place.order(each, "ask", at=trial.socket(each), target="/-/actions", body=credentials)
    return names


async def _packs_arrived(trial: Trial, names: Sequence[str], store: str) -> None:
    """Wait for the packs, as a job's steps before its first request would: no request waits for them."""
    trial.progress("waiting for the first fleet's packs")
    for name in names:
        await trial.place.order(
            name, "store_settled", socket=trial.socket(name), store=store, calls=_LOOKED_UP, seconds=PACK_SECONDS
        )


SCENARIOS = (
    Scenario("s3", "apart, over S3", "two fleets that never meet, and a bucket", _over_s3),
    Scenario("ipfs", "apart, over IPFS", "two fleets that never meet, and a Kubo daemon", _over_ipfs),
    Scenario(
        "actions", "apart, Actions cache", "two fleets that never meet, and a stand-in of the service", _over_actions
    ),
)
