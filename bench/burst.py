"""Upstream calls for a burst as the fleet grows: whole nodes, one job each, request the same cold URLs concurrently.

Run it alone: ``python bench/burst.py [--sizes 1 5 20 50]``; exit status 1 if the calls grow with the fleet. Nodes are
forked from this process, which has imported everything, so that a fleet of 50 starts in seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import logging
import multiprocessing
import secrets
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import _tools as tools
import aiohttp

from p2pcache import node, settings, swarm
from p2pcache.cache import library
from p2pcache.swarm import host  # noqa: F401 - loaded before forking

PATHS = (
    "",
    "/issues",
    "/issues/1",
    "/labels",
    "/branches",
    "/commits",
    "/releases/latest",
    "/pulls",
    "/contents/README.md",
)
LATENCY = 0.05
# A peer that is slow because all share two cores must not cost a call.
PATIENT = swarm.Limits(peer_deadline=5.0, lease_silence=8.0, lease=30.0)


def live(flags: dict[str, str], variables: dict[str, str]) -> None:
    """Run one node until it is killed."""
    swarm.SwarmConfig = functools.partial(swarm.SwarmConfig, limits=PATIENT)  # type: ignore[assignment, misc]
    limits = library.TierLimits(block=2 * PATIENT.peer_deadline)
    node.Library = functools.partial(node.Library, limits=limits)  # type: ignore[attr-defined, assignment]

    logging.disable(logging.WARNING)  # the hub is killed first

    async def run() -> None:
        async with node.Node(settings.load(flags, variables)):
            await asyncio.Event().wait()

    asyncio.run(run())


class Fleet:
    """Nodes of one swarm and one repository."""

    def __init__(self, home: Path, upstream: str) -> None:
        self._home = home
        self._upstream = upstream
        self._secret = secrets.token_hex(32)
        self._context = multiprocessing.get_context("fork")
        self._processes: list[multiprocessing.process.BaseProcess] = []

    def start(self, name: str, token: str, **flags: str) -> Path:
        """Start a node and return its folder immediately."""
        home = self._home / name
        home.mkdir()
        flags |= {"listen": "127.0.0.1:0", "p2p_listen": "/ip4/127.0.0.1/tcp/0", "upstream": self._upstream}
        flags |= {"socket": f"{home}/s", "directory": f"{home}/store", "ready_file": f"{home}/ready"}
        variables = {"CACHE_SECRET": self._secret, "CACHE_JOB_TOKEN": token, "GITHUB_REPOSITORY": "octo/app"}
        variables |= {"GITHUB_ACTIONS": "true"}
        process = self._context.Process(target=live, args=(flags, variables), daemon=True)
        process.start()
        self._processes.append(process)
        return home

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()


async def get(home: Path, target: str, token: str = "") -> bytes:
    """Request through a node on a new connection, as gh does."""
    connector = aiohttp.UnixConnector(str(home / "s"))
    headers = {"Host": "api.github.com", "Authorization": f"token {token}"} if token else {"Host": "localhost"}
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"http://n{target}", headers=headers) as a,
    ):
        if a.status != 200:
            sys.exit(f"{target} was answered {a.status}")
        return await a.read()


def connected(home: Path) -> int:
    return int(json.loads(asyncio.run(get(home, "/-/stats")))["peers"]["connected"])


def joined(home: Path, count: int) -> str:
    """Wait until a node has `count` peers and return its address."""
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        ready = json.loads((home / "ready").read_text()) if (home / "ready").exists() else {}
        if ready.get("p2p") == "ready" and connected(home) >= count:
            return str(ready["multiaddrs"][0])
        time.sleep(0.02)
    sys.exit(f"{home.name} has not {count} peers within a minute")


async def burst(homes: Sequence[Path], tokens: Sequence[str], repository: str) -> float:
    """Return the seconds until all nodes have all answers."""
    began = time.monotonic()
    targets = [f"/repos/{repository}{path}" for path in PATHS]
    await asyncio.gather(
        *(get(home, target, token) for home, token in zip(homes, tokens, strict=True) for target in targets)
    )
    return time.monotonic() - began


def order(github: str, what: str, **body: object) -> None:
    """Send a command to the stand-in's control."""
    sent = urllib.request.Request(f"{github}/_stand-in/{what}", json.dumps(body).encode(), method="POST")
    urllib.request.urlopen(sent, timeout=10).close()


def measure(size: int, github: str, home: Path) -> tuple[int, int, float]:
    """Return the number of calls, of charged calls, and the seconds."""
    tokens = [f"ghs_{size}_{number}" for number in range(size)]
    for token in tokens:
        order(github, "token", value=token, repos=["octo/app"])
    order(github, "repository", name=f"octo/cold{size}")
    fleet = Fleet(home, github)
    try:
        hub = fleet.start("hub", tokens[0], hub="true")
        address = joined(hub, 0)
        homes = [fleet.start(str(number), token, bootstrap=address) for number, token in enumerate(tokens)]
        joined(hub, size)
        order(github, "reset-calls")
        took = asyncio.run(burst(homes, tokens, f"octo/cold{size}"))
        with urllib.request.urlopen(f"{github}/_stand-in/charged", timeout=10) as answer:
            counts = json.load(answer)
        return counts["calls"], counts["charged"], took
    finally:
        fleet.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 5, 20, 50])
    options = parser.parse_args()
    most = 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        log = home / "github.log"
        command = (
            sys.executable,
            "-m",
            "p2pcache.testing",
            "--latency",
            str(LATENCY),
            "--ready-file",
            f"{home}/github",
        )
        with tools.process(*command, log=log) as started:
            github = tools.ready(home / "github", started, log)["url"]
            print(f"{'nodes':>5} {'requests':>8} {'calls':>5} {'charged':>7} {'seconds':>7}")
            for size in options.sizes:
                (home / str(size)).mkdir()
                calls, charged, took = measure(size, github, home / str(size))
                print(f"{size:5} {size * len(PATHS):8} {calls:5} {charged:7} {took:7.2f}", flush=True)
                most = max(most, calls)
    return tools.verdict([(f"upstream calls for {len(PATHS)} cold URLs, at most", most, "<=", len(PATHS))])


if __name__ == "__main__":
    sys.exit(main())
