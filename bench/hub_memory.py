"""The hub's memory for each connected runner: its RSS as light members join a real hub.

Run it alone: ``python bench/hub_memory.py``; exit status 1 if the target is missed.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import multiprocessing.connection
import os
import secrets
import sys
import tempfile
import time
import urllib.request
from collections.abc import Collection
from pathlib import Path

import _tools as tools

from p2pcache.cache.entry import Pointer
from p2pcache.keys import keyring_of
from p2pcache.settings import load
from p2pcache.swarm import Limits, Swarm, SwarmConfig

CROWDS, CROWD, HUB_MB = 4, 25, 0.5
SETTLE = 1.0


class Nothing:
    """A node without entries that ignores its peers."""

    async def sealed(self, cid: bytes) -> bytes | None:
        del cid
        return None

    async def keep(self, pointer: Pointer, sealed: bytes) -> None:
        """Do nothing: only a hub gets these."""

    def pointers(self) -> list[Pointer]:
        return []

    def dropped(self, topics: Collection[bytes], scope: bytes | None, until: float) -> None:
        """Do nothing."""

    def quota(self, scope: bytes, state: bytes) -> None:
        """Do nothing."""

    def warn(self, message: str) -> None:
        """Do nothing: at the end the hub leaves."""


def crowd(home: str, address: str, keys: tuple[bytes, ...], until: multiprocessing.connection.Connection) -> None:
    """Run members that know only the hub, until the pipe is closed."""
    limits = Limits(links=0, links_beside_hub=0)

    async def run() -> None:
        swarms = []
        for number in range(CROWD):
            identity = Path(home) / f"{os.getpid()}-{number}"
            config = SwarmConfig("/ip4/127.0.0.1/tcp/0", (address,), (), identity, keys, limits=limits)
            swarms.append(Swarm(config, Nothing(), Nothing()))
            await swarms[-1].start()
        for member in swarms:
            if not await member.connected(timeout=30.0):
                sys.exit("a member did not join")
        until.send(True)
        await asyncio.to_thread(until.poll, None)

    asyncio.run(run())


def joined(home: Path, address: str, keys: tuple[bytes, ...]) -> multiprocessing.connection.Connection:
    """Start `CROWD` members in a process and wait until they have joined; return the pipe whose closing ends them."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=crowd, args=(str(home), address, keys, theirs), daemon=True).start()
    if not ours.poll(60.0):
        sys.exit("a crowd did not join within a minute")
    ours.recv()
    return ours


def rss(pid: int) -> float:
    """Return the resident memory in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def connected(url: str) -> int:
    with urllib.request.urlopen(f"{url}/-/stats", timeout=10) as answer:
        return int(json.load(answer)["peers"]["connected"])


def listening(ready: Path) -> dict[str, object]:
    """Wait until the hub's swarm listens and return the ready file."""
    end = time.monotonic() + tools.START_SECONDS
    while time.monotonic() < end:
        state: dict[str, object] = json.loads(ready.read_text())
        if state["p2p"] == "ready":
            return state
        time.sleep(0.02)
    sys.exit("the hub's swarm did not start")


def measure(home: Path) -> list[tuple[int, float]]:
    """Return points of (connected members, the hub's RSS in MB)."""
    variables = {"CACHE_SECRET": secrets.token_hex(32)}
    keyring, _ = keyring_of(load({}, variables))
    log, ready = home / "hub.log", home / "ready"
    flags = ("--listen", "127.0.0.1:0", "--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--socket", f"{home}/s")
    command = (
        sys.executable,
        "-m",
        "p2pcache",
        "serve",
        "--hub",
        *flags,
        "--dir",
        f"{home}/d",
        "--ready-file",
        f"{ready}",
    )
    points, ends = [], []
    with tools.process(*command, log=log, env=tools.clean_environment(home, **variables)) as hub:
        tools.ready(ready, hub, log)
        state = listening(ready)
        url, [address, *_] = str(state["api_url"]), list(state["multiaddrs"])  # type: ignore[call-overload]
        for number in range(1, CROWDS + 1):
            ends.append(joined(home, address, keyring.membership_keys))
            while connected(url) < number * CROWD:
                time.sleep(0.02)
            time.sleep(SETTLE)  # the gossip about the new members
            points.append((number * CROWD, rss(hub.pid)))
            print(f"{points[-1][0]:4} members: {points[-1][1]:6.1f} MB", flush=True)
        for end in ends:
            end.send(True)
    return points


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        points = measure(Path(folder))
    (few, low), (many, high) = points[0], points[-1]
    slope = (high - low) / (many - few)
    return tools.verdict([("hub memory a connected runner, MB", slope, "<=", HUB_MB)])


if __name__ == "__main__":
    sys.exit(main())
