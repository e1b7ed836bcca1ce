"""Charged calls of jobs that share nothing but the Actions cache: whole nodes that reach no other, two runs in a row.

Run it alone: ``python bench/actions_cache.py [--jobs 20] [--latency 0.25] [--lag 3]``; exit status 1 if a target is
missed. It takes nine minutes, since the jobs do: they start within a minute, and each makes 10 to 120 reads of 400
resources, of which some are popular, half of them at once and half over three minutes. GitHub and the Actions cache are
stand-ins. Each node is in a network namespace of its own, from which these alone can be reached; a user who may make
none gets nodes without peers. The targets are the figures of docs/actions-cache.md, which a model of these jobs gives.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import secrets
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import _apart
import aiohttp
from _tools import clean_environment, process, ready, verdict

from p2pcache.testing.actions_cache import READ, WRITE, runtime_token

FIRST, SECOND = 1.15 * 0.556, 0.15
"""Charged calls by those without sharing: the simulation's and 15 %; the second run's."""
STARTED_WITHIN, SPREAD, BURST = 60.0, 180.0, 0.3
RESOURCES = 400
WEIGHTS = list(itertools.accumulate(1 / rank for rank in range(1, RESOURCES + 1)))
REPOSITORY = "octo/large"
TOKEN = runtime_token("1", {"refs/heads/main": READ | WRITE})


@dataclass(frozen=True)
class Place:
    """What the jobs of a run have in common."""

    home: Path
    github: str
    service: str
    secret: str

    @property
    def ports(self) -> list[int]:
        """Of GitHub and of the service."""
        return [port for url in (self.github, self.service) if (port := urlsplit(url).port)]


def order(url: str, what: object = None) -> Any:
    """Ask a stand-in for something; with `what`, tell it to do that."""
    request = urllib.request.Request(url, None if what is None else json.dumps(what).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def script(chance: random.Random) -> list[tuple[float, int]]:
    """Return when a job reads which resource."""
    wanted = chance.choices(range(1, RESOURCES + 1), cum_weights=WEIGHTS, k=chance.randint(10, 120))
    half = len(wanted) // 2
    at = [BURST * number for number in range(half)]
    at += sorted(chance.uniform(at[-1] if at else 0.0, SPREAD) for _ in wanted[half:])
    return [*zip(at, wanted, strict=True)]


async def job(place: Place, run: int, number: int) -> int:
    """Run one job; return how many resources it read."""
    reads = script(random.Random(number))
    chance = random.Random(f"{run} {number}")
    await asyncio.sleep(chance.uniform(0, STARTED_WITHIN))
    home = place.home / f"{run}-{number}"
    home.mkdir()
    variables = clean_environment(
        home,
        CACHE_SECRET=place.secret,
        CACHE_BACKENDS="actions",
        CACHE_ENABLE_P2P="true" if _apart.possible() else "false",
        CACHE_JOB_TOKEN=f"ghs_{run}_{number}",
        GITHUB_ACTIONS="true",
        GITHUB_REPOSITORY=REPOSITORY,
        CACHE_TTL="3600",
    )
    files = ["--socket", str(home / "s"), "--dir", str(home / "store"), "--ready-file", str(home / "ready.json")]
    command = [sys.executable, "-m", "p2pcache", "serve", "--upstream", place.github, *files]
    if _apart.possible():
        command = _apart.apart(place.home, place.ports, command)
    node = await asyncio.create_subprocess_exec(*command, env=variables, stderr=(home / "log").open("wb"))
    try:
        async with asyncio.timeout(60):
            while not (home / "ready.json").exists():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)
        await use(home / "s", place, f"ghs_{run}_{number}", reads)
    finally:
        node.send_signal(signal.SIGTERM)
        await node.wait()
    return len({wanted for _, wanted in reads})


async def use(socket: Path, place: Place, token: str, reads: Sequence[tuple[float, int]]) -> None:
    """Give the node the credentials of the service, then read through it."""
    local, sent = {"Host": "localhost"}, {"Host": "api.github.com", "Authorization": f"token {token}"}
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:
        credentials = {"results_url": place.service, "token": TOKEN}
        async with session.post("http://node/-/actions", json=credentials, headers=local) as answer:
            answer.raise_for_status()
        begun = time.monotonic()
        for at, wanted in reads:
            await asyncio.sleep(max(0.0, begun + at - time.monotonic()))
            async with session.get(f"http://node/repos/{REPOSITORY}/issues/{wanted}", headers=sent) as answer:
                answer.raise_for_status()
                await answer.read()


async def run_of(place: Place, number: int, jobs: int) -> float:
    """Run a workflow; return its charged calls by those without sharing."""
    for job_number in range(jobs):
        token = {"value": f"ghs_{number}_{job_number}", "repos": [REPOSITORY]}
        order(f"{place.github}/_stand-in/token", token)
    order(f"{place.github}/_stand-in/reset-calls", {})
    async with _apart.doors(place.home, place.ports):
        alone = sum(await asyncio.gather(*(job(place, number, job_number) for job_number in range(jobs))))
    charged = order(f"{place.github}/_stand-in/charged")["charged"]
    said = order(f"{place.service}_stand-in/calls")
    print(
        f"run {number}: {charged} charged, {alone} without sharing; calls of the service so far {said['calls']}, ",
        end="",
    )
    print(f"{len(said['saved'])} packs, {sum(said['saved']) / 1e6:.1f} MB")
    return float(charged / alone)


def main() -> int:
    """Run both, and compare."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=20)
    options.add_argument("--latency", type=float, default=0.25)
    options.add_argument("--lag", type=float, default=3.0)
    given = options.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="actions-cache-")))
        urls = []
        services = {
            "p2pcache.testing": ["--latency", "0.2"],
            "p2pcache.testing.actions_cache_server": ["--latency", str(given.latency), "--lag", str(given.lag)],
        }
        for module, flags in services.items():
            file, log = home / f"{module}.json", home / f"{module}.log"
            command = [sys.executable, "-m", module, "--ready-file", str(file), *flags]
            started = stack.enter_context(process(*command, log=log, env=clean_environment(home)))
            urls.append(ready(file, started, log)["url"])
        place = Place(home, urls[0], urls[1], secrets.token_hex(32))
        order(f"{place.github}/_stand-in/repository", {"name": REPOSITORY, "issues": RESOURCES})
        first, second = (asyncio.run(run_of(place, number, given.jobs)) for number in (1, 2))
        calls = order(f"{place.service}_stand-in/calls")["busiest_minute"]
    return verdict(
        [
            ("first run, charged by those without sharing", first, "<=", FIRST),
            ("second run, charged by those without sharing", second, "<=", SECOND),
            ("packs in the busiest minute", calls["CreateCacheEntry"], "<=", 50),
            ("look-ups in the busiest minute", calls["GetCacheEntryDownloadURL"], "<=", 200),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
