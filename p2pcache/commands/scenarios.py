"""``p2pcache scenarios``: each way of joining, really run here, and its figures side by side."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import click
from rich.console import Console
from rich.text import Text

from p2pcache.commands.cancellation import cancelled_by_signals
from p2pcache.commands.console import fail, quiet, to_stdout
from p2pcache.scenarios import side_by_side
from p2pcache.scenarios.catalogue import SCENARIOS
from p2pcache.scenarios.fleet import Workload
from p2pcache.scenarios.outcome import Outcome, Result
from p2pcache.scenarios.scenario import Scenario, Series
from p2pcache.scenarios.sequence import outcomes

LEAST_COLUMNS = 100
"""Where stdout is no terminal, whose own width counts."""


def listed() -> None:
    """Print the scenarios' names and what each is."""
    width = max(len(scenario.name) for scenario in SCENARIOS)
    with to_stdout():
        for scenario in SCENARIOS:
            click.echo(f"{scenario.name:{width}}  {scenario.shows}")


def scenarios(only: Sequence[str], form: str, image: str) -> int:
    """Run the scenarios named, or all, and print the comparison; return 1 if one failed, else 0."""
    chosen = _chosen(only)
    series = Series(image=image)
    return cancelled_by_signals(_run(chosen, series, form, Console(stderr=True, quiet=quiet(), highlight=False)))


def _chosen(only: Sequence[str]) -> list[Scenario]:
    known = [scenario.name for scenario in SCENARIOS]
    for name in only:
        if name not in known:
            fail(f"--only: read {name!r}: expected one of {', '.join(known)}", 2)
    return [scenario for scenario in SCENARIOS if not only or scenario.name in only]


async def _run(chosen: Sequence[Scenario], series: Series, form: str, console: Console) -> int:
    console.print(side_by_side.described(series.load), soft_wrap=True)
    ended: list[Outcome] = []
    shown: set[str] = set()
    with console.status("starting") as status:

        def show(step: str) -> None:
            line = f"{len(ended) + 1}/{len(chosen)} {chosen[len(ended)].title}"
            if console.is_terminal:
                status.update(Text(f"{line}: {step}"))
            elif line not in shown:  # a log gets the first step of each, which is what may take minutes
                shown.add(line)
                console.print(f"{line}: {step}", markup=False, soft_wrap=True)

        series.progress = show
        began = time.monotonic()
        async for outcome in outcomes(chosen, series):
            ended.append(outcome)
            seconds = time.monotonic() - began
            line = f"{len(ended)}/{len(chosen)} {outcome.title}: {side_by_side.brief(outcome)}"
            console.print(f"{line} ({seconds:.0f} s)", markup=False, soft_wrap=True)
            began = time.monotonic()
    _print(ended, series.load, form)
    return 1 if any(outcome.status is Result.FAILED for outcome in ended) else 0


def _print(ended: Sequence[Outcome], load: Workload, form: str) -> None:
    with to_stdout():
        if form == "json":
            click.echo(side_by_side.as_json(ended, load))
        elif form == "markdown":
            click.echo(side_by_side.markdown(ended, load))
        else:
            console = Console(width=None if sys.stdout.isatty() else LEAST_COLUMNS)
            console.print(side_by_side.terminal(ended))
            for sentence in side_by_side.reasons(ended):
                console.print(sentence, markup=False, highlight=False, soft_wrap=True)
