"""``p2pcache demo``: a stand-in GitHub, a hub, three runners with a token each, a workload, the report."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Sequence
from typing import Any

import aiohttp
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from p2pcache import files
from p2pcache.commands.cancellation import cancelled_by_signals
from p2pcache.commands.console import quiet
from p2pcache.commands.terminal_report import print_report
from p2pcache.ledger.ledger import merge
from p2pcache.scenarios.fleet import REPOSITORY, Trial, Workload, token
from p2pcache.scenarios.places import Machine, UnexpectedError
from p2pcache.wording import counted

RUNNERS = 3
LATENCY = 0.06
"""Seconds per answer of the stand-in, typical of GitHub's API."""


def demo(requests: int) -> int:
    """Run the demonstration; return 0 if every answer was right."""
    return cancelled_by_signals(_demo(requests))


async def _demo(requests: int) -> int:
    console = Console(stderr=True, quiet=quiet())
    console.print(f"A matrix of {RUNNERS} jobs of {REPOSITORY}, a token each, and a hub; GitHub is a stand-in here.")
    with files.socket_folder("p2pcache-demo-") as scratch:
        async with Machine(scratch) as machine:
            try:
                with console.status("starting") as status:
                    trial = Trial(machine, Workload(runners=RUNNERS, latency=LATENCY), status.update)
                    await trial.start_github()
                    runners = await trial.start_fleet()
                    await trial.connect(runners)
                wrong = await _work(trial, runners, _workload(requests), console)
                charged = _charged(await trial.calls())
                second = await _second_token(trial, runners[0])
                ledgers = [await _stats(trial, runner) for runner in runners]
            except UnexpectedError as error:
                raise click.ClickException(str(error)) from None
    print_report(functools.reduce(merge, ledgers))
    click.echo(f"GitHub itself charged {counted(charged, 'call')} for the jobs' {counted(requests, 'request')}.")
    click.echo(second)
    if wrong:
        click.echo(f"{counted(wrong, 'answer was', 'answers were')} wrong; please report this.", err=True)
    return 1 if wrong else 0


def _charged(calls: Sequence[dict[str, Any]], of: str = "") -> int:
    return sum(call["charged"] for call in calls if of in ("", call["token"]))


async def _second_token(trial: Trial, runner: str) -> str:
    """Request cached answers with another token, proved by free 304s, and return a sentence about it."""
    targets = [f"/repos/{REPOSITORY}{rest}" for rest in ("", "/releases", "/labels")]
    other = "ghp_demosomebodyelse"
    await trial.control("token", {"value": other, "repos": [REPOSITORY]})
    before = await _stats(trial, runner)
    async with _client(trial, runner, other) as session:
        for target in targets:
            async with session.get(target) as answer:
                answer.raise_for_status()
    after, charged = await _stats(trial, runner), _charged(await trial.calls(), other)
    proved = after["revalidated"] - before["revalidated"]
    return (
        f"Then a second token, somebody's own, asked for {len(targets)} of the same things: {proved} times GitHub's "
        f"304 said that it may read what the jobs have, and GitHub charged it {counted(charged, 'call')}."
    )


def _client(trial: Trial, runner: str, credential: str) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {credential}", "Accept": "application/vnd.github+json"}
    connector = aiohttp.UnixConnector(trial.socket(runner), limit=4)
    return aiohttp.ClientSession("http://api.github.com", connector=connector, headers=headers)


async def _stats(trial: Trial, runner: str) -> dict[str, Any]:
    found: dict[str, Any] = await trial.place.order(runner, "ask", at=trial.socket(runner), target="/-/stats")
    return found


def _workload(requests: int) -> list[str]:
    """Return request targets with a popularity as in matrix jobs: a few very often, the rest seldom."""
    paths = [
        *(f"/repos/{REPOSITORY}{rest}" for rest in ("", "/issues", "/releases", "/branches", "/labels", "/commits")),
        *(f"/repos/{REPOSITORY}/issues/{number}" for number in range(1, 25)),
        *(f"/repos/{REPOSITORY}/issues?per_page=10&page={page}" for page in range(1, 7)),
    ]
    chance = random.Random(1)  # noqa: S311 - a workload, the same each time
    weights = [1 / rank for rank in range(1, len(paths) + 1)]
    return chance.choices(paths, weights, k=requests)


async def _work(trial: Trial, runners: Sequence[str], targets: Sequence[str], console: Console) -> int:
    """Send the workload, split among concurrent runners; return the number of wrong answers."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    seen: dict[str, bytes] = {}
    wrong = 0
    with Progress(*columns, console=console) as progress:
        bars = {name: progress.add_task(name, total=len(targets[i :: len(runners)])) for i, name in enumerate(runners)}

        async def job(runner: str, share: Sequence[str]) -> None:
            nonlocal wrong
            async with _client(trial, runner, token(runner)) as session:
                for target in share:
                    async with session.get(target) as answer:
                        body = await answer.read()
                        wrong += answer.status != 200 or seen.setdefault(target, body) != body
                    progress.advance(bars[runner])

        await asyncio.gather(*(job(name, targets[i :: len(runners)]) for i, name in enumerate(runners)))
    return wrong
