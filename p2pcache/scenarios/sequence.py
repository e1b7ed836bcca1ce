"""Runs scenarios one after another, so that none disturbs another's figures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from p2pcache.scenarios.outcome import Outcome, Result
from p2pcache.scenarios.places import MissingError, UnexpectedError
from p2pcache.scenarios.scenario import Scenario, Series

SCENARIO_SECONDS = 600.0
"""For one scenario; its steps have shorter deadlines of their own."""


async def outcomes(
    scenarios: Sequence[Scenario], series: Series, seconds: float = SCENARIO_SECONDS
) -> AsyncIterator[Outcome]:
    """Yield the outcome of each scenario when it has ended, and all that it started with it."""
    for scenario in scenarios:
        yield await _outcome(scenario, series, seconds)


async def _outcome(scenario: Scenario, series: Series, seconds: float) -> Outcome:
    status, reason, figures = Result.OK, "", None
    try:
        if scenario.needs is not None:
            await scenario.needs(series)
        async with asyncio.timeout(seconds):
            figures = await scenario.run(series)
    except MissingError as error:
        status, reason = Result.MISSING, str(error)
    except UnexpectedError as error:
        status, reason = Result.FAILED, str(error)
    except TimeoutError:
        status, reason = Result.FAILED, f"it did not end within {seconds:g} s"
    return Outcome(name=scenario.name, title=scenario.title, status=status, reason=reason, figures=figures)
