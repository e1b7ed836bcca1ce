"""``p2pcache demo``: a stand-in GitHub, a hub, three runners with a token each, a workload, the report."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from p2pcache.cache.sealing import generate_secret
from p2pcache.ledger.ledger import merge
from p2pcache.runner.report import text
from p2pcache.testing import StandIn

REPOSITORY = "octo/app"
RUNNERS = 3
START_SECONDS = 30.0
LATENCY = 0.06
"""Seconds per answer of the stand-in, typical of GitHub's API."""


@dataclass(frozen=True, slots=True)
class Runner:
    """A node's process and the token of its job."""

    name: str
    token: str
    process: asyncio.subprocess.Process
    ready: Path

    def state(self) -> dict[str, Any]:
        """Return the content of the ready file."""
        found: dict[str, Any] = json.loads(self.ready.read_bytes())
        return found


def demo(requests: int) -> int:
    """Run the demonstration; return 0 if every answer was right."""
    return asyncio.run(_demo(requests))


async def _demo(requests: int) -> int:
    console = Console(stderr=True)
    console.print(f"A matrix of {RUNNERS} jobs of {REPOSITORY}, a token each, and a hub; GitHub is a stand-in here.")
    with tempfile.TemporaryDirectory(prefix="p2pcache-demo-") as scratch:
        async with StandIn() as github, contextlib.AsyncExitStack() as nodes:
            github.repository(REPOSITORY, issues=120)
            github.fault(delay=LATENCY, times=None)
            runners = await _start(nodes, Path(scratch), github, console)
            wrong = await _work(runners, _workload(requests), console)
            charged = github.charged()
            second = await _second_token(runners[0], github)
            ledgers = [await _stats(runner) for runner in runners]
    click.echo(text(functools.reduce(merge, ledgers)))
    click.echo(f"GitHub itself charged {charged} calls for the jobs' {requests} requests.")
    click.echo(second)
    if wrong:
        click.echo(f"{wrong} answers were wrong; please report this.", err=True)
    return 1 if wrong else 0


async def _start(nodes: contextlib.AsyncExitStack, scratch: Path, github: StandIn, console: Console) -> list[Runner]:
    secret = generate_secret()
    with console.status("starting the hub"):
        hub = await nodes.enter_async_context(_node("hub", scratch, github, secret, ["--hub"]))
        address = (await _until(hub, lambda state: state["p2p"] == "ready"))["multiaddrs"][0]
    with console.status("starting the runners"):
        starting = [
            _node(f"runner-{i}", scratch, github, secret, ["--bootstrap", address]) for i in range(1, RUNNERS + 1)
        ]
        runners = [await nodes.enter_async_context(node) for node in starting]
        for runner in runners:
            await _until(runner, lambda state: state["p2p"] == "ready")
            await _connected(runner)
    return runners


@contextlib.asynccontextmanager
async def _node(name: str, scratch: Path, github: StandIn, secret: str, flags: Sequence[str]) -> AsyncIterator[Runner]:
    directory = scratch / name
    directory.mkdir()
    token = f"ghs_demo{name.replace('-', '')}"
    github.token(token, repos=[REPOSITORY], kind="installation")
    environment = {
        "CACHE_SECRET": secret,
        "GITHUB_ACTIONS": "true",
        "CACHE_JOB_TOKEN": token,
        "GITHUB_REPOSITORY": REPOSITORY,
        "HOME": str(scratch),
    }
    where = ["--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--dir", str(directory), "--socket", str(directory / "s")]
    ready = directory / "ready.json"
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "p2pcache", "serve", *where, *flags),
            *("--upstream", github.url, "--ready-file", str(ready)),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield Runner(name, token, process, ready)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 10)


async def _until(runner: Runner, holds: Any) -> dict[str, Any]:
    async with asyncio.timeout(START_SECONDS):
        while True:
            with contextlib.suppress(OSError, ValueError):
                state = runner.state()
                if holds(state):
                    return state
            if runner.process.returncode is not None:
                raise click.ClickException(f"{runner.name} stopped: {(runner.ready.parent / 'log').read_text()[-500:]}")
            await asyncio.sleep(0.05)


async def _connected(runner: Runner) -> None:
    async with asyncio.timeout(START_SECONDS):
        while (await _stats(runner))["peers"]["connected"] < 1:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.05)


async def _second_token(runner: Runner, github: StandIn) -> str:
    """Request cached answers with another token, proved by free 304s, and return a sentence about it."""
    token, targets = "ghp_demosomebodyelse", [f"/repos/{REPOSITORY}{rest}" for rest in ("", "/releases", "/labels")]
    github.token(token, repos=[REPOSITORY])
    before = await _stats(runner)
    async with _client(runner, token) as session:
        for target in targets:
            async with session.get(target) as answer:
                answer.raise_for_status()
    after, charged = await _stats(runner), github.charged(token)
    proved = after["revalidated"] - before["revalidated"]
    return (
        f"Then a second token, somebody's own, asked for {len(targets)} of the same things: {proved} times GitHub's "
        f"304 said that it may read what the jobs have, and GitHub charged it {charged} calls."
    )


def _client(runner: Runner, token: str) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
    connector = aiohttp.UnixConnector(str(runner.state()["socket"]), limit=4)
    return aiohttp.ClientSession("http://api.github.com", connector=connector, headers=headers)


async def _stats(runner: Runner) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{runner.state()['api_url']}/-/stats") as answer:
        found: dict[str, Any] = await answer.json()
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


async def _work(runners: Sequence[Runner], targets: Sequence[str], console: Console) -> int:
    """Send the workload, split among concurrent runners; return the number of wrong answers."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    seen: dict[str, bytes] = {}
    wrong = 0
    with Progress(*columns, console=console) as progress:
        bars = {r.name: progress.add_task(r.name, total=len(targets[i :: len(runners)])) for i, r in enumerate(runners)}

        async def job(runner: Runner, share: Sequence[str]) -> None:
            nonlocal wrong
            async with _client(runner, runner.token) as session:
                for target in share:
                    async with session.get(target) as answer:
                        body = await answer.read()
                        wrong += answer.status != 200 or seen.setdefault(target, body) != body
                    progress.advance(bars[runner.name])

        await asyncio.gather(*(job(r, targets[i :: len(runners)]) for i, r in enumerate(runners)))
    return wrong
