"""What becomes of scenarios that run, fail, cannot run, or do not end."""

from __future__ import annotations

import asyncio

from p2pcache.scenarios.outcome import Figures, Outcome, Result, figures
from p2pcache.scenarios.places import MissingError, UnexpectedError
from p2pcache.scenarios.scenario import Scenario, Series
from p2pcache.scenarios.sequence import outcomes

FOUND = figures(peers=[1], milliseconds=[1.0], charged=0, not_modified=0)


async def works(series: Series) -> Figures:
    return FOUND


async def fails(series: Series) -> Figures:
    raise UnexpectedError("it shared nothing")


async def lacks(series: Series) -> Figures:
    raise MissingError("there is no Kubo")


async def hangs(series: Series) -> Figures:
    await asyncio.Event().wait()
    raise AssertionError


async def run(*scenarios: Scenario, seconds: float = 30.0) -> list[Outcome]:
    return [outcome async for outcome in outcomes(scenarios, Series(), seconds)]


async def test_one_that_fails_or_cannot_run_stops_no_other() -> None:
    tried = [Scenario(run.__name__, run.__name__.title(), "", run) for run in (fails, lacks, works)]
    assert await run(*tried) == [
        Outcome(name="fails", title="Fails", status=Result.FAILED, reason="it shared nothing"),
        Outcome(name="lacks", title="Lacks", status=Result.MISSING, reason="there is no Kubo"),
        Outcome(name="works", title="Works", status=Result.OK, figures=FOUND),
    ]


async def test_one_that_does_not_end_has_failed() -> None:
    (outcome,) = await run(Scenario("hangs", "Hangs", "", hangs), seconds=0.01)
    assert (outcome.status, outcome.reason) == (Result.FAILED, "it did not end within 0.01 s")


async def test_what_it_needs_is_got_before_its_time_begins() -> None:
    began = []

    async def needs(series: Series) -> None:
        began.append("needs")
        await asyncio.sleep(0.02)  # longer than the scenario may take

    async def scenario(series: Series) -> Figures:
        began.append("run")
        return FOUND

    (outcome,) = await run(Scenario("x", "X", "", scenario, needs), seconds=0.01)
    assert (outcome.status, began) == (Result.OK, ["needs", "run"])


async def test_without_what_it_needs_it_does_not_run() -> None:
    (outcome,) = await run(Scenario("x", "X", "", hangs, lacks))
    assert (outcome.status, outcome.reason) == (Result.MISSING, "there is no Kubo")
