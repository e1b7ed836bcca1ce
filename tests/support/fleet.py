"""A swarm of whole nodes, each a process, and callers that ask many of them at the same moment."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from tests.support.forks import Forks, over
from tests.support.processes import environment, job

START_SECONDS = 60.0
END_SECONDS = 60.0
ASK_SECONDS = 60.0
PATIENT = {"peer_deadline": 5.0, "lease_silence": 8.0, "lease": 30.0, "drop_timeout": 5.0}
"""For fleets larger than the machine, where calls are counted and time is not."""
STORES = {"impatience": 20.0, "patience": 20.0, "find": 20.0, "block": 20.0}
"""Bounds of tiers, where what a store has is to be found however busy the machine is."""
DROPS = {"drop": 10.0}
"""And where a write is to be answered after all members have dropped what it may have changed."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def detail(self) -> str:
        """The tier, as `Cache-Status` names it; "" when GitHub's own answer came."""
        return (
            self.headers["cache-status"].rpartition("detail=")[2] if "detail=" in self.headers["cache-status"] else ""
        )


@dataclass
class Member:
    """One node: its process, and the ways to talk to it. All of them use its socket, as `gh` does."""

    name: str
    home: Path
    token: str
    start: Callable[..., int] = field(repr=False)
    pid: int = 0

    @property
    def ready(self) -> dict[str, Any]:
        """The ready file as it is now; empty before there is one."""
        try:
            ready: dict[str, Any] = json.loads((self.home / "ready.json").read_text())
        except FileNotFoundError:
            return {}
        return ready

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    async def send(
        self, method: str, target: str, *, token: str | None = None, body: object = None, **headers: str
    ) -> Answer:
        """One request; GitHub's bytes come back untouched, since it is addressed to GitHub."""
        sent = {
            "Host": "api.github.com",
            "Accept": "application/vnd.github+json",
            "Authorization": f"token {token or self.token}",
            **headers,
        }
        connector = aiohttp.UnixConnector(str(self.home / "s"))
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        began = time.monotonic()
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.request(method, f"http://node{target}", headers=sent, json=body) as response,
        ):
            received = await response.read()
            fields = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, fields, received, time.monotonic() - began)

    async def get(self, target: str, *, token: str | None = None) -> Answer:
        return await self.send("GET", target, token=token)

    async def control(self, path: str) -> Any:
        answer = await self.send("GET", f"/-/{path}", Host="localhost")
        return json.loads(answer.body) if "json" in answer.headers["content-type"] else answer.body.decode()

    async def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = await self.control("stats")
        return stats

    async def peers(self) -> dict[str, dict[str, Any]]:
        """The rows of members that are connected, by peer id."""
        rows = await self.control("peers")
        return {row["peer_id"]: row for row in rows if row["state"] in ("hub", "member", "slow")}

    async def until_ready(self) -> Self:
        await until(lambda: self.ready.get("p2p") == "ready", f"{self.name} ready", log=lambda: self.log)
        return self

    async def until_connected(self, *others: Member, seconds: float = START_SECONDS) -> None:
        """Wait until there is a proved link to each of `others`."""
        wanted = {other.ready["peer_id"] for other in others}

        async def linked() -> bool:
            return wanted <= (await self.peers()).keys()

        await until(linked, f"{self.name} connected to {[other.name for other in others]}", seconds)

    @property
    def over(self) -> bool:
        """Whether its process has ended."""
        return over(self.pid)

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)


async def until(
    holds: Callable[[], object],
    what: object,
    seconds: float = START_SECONDS,
    log: Callable[[], str] = lambda: "",
    pause: float = 0.01,
) -> None:
    """Wait for `holds()`, a function or a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        came = holds()
        if asyncio.iscoroutine(came):
            came = await came
        if came:
            return
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds} s\n{log()}")
        await asyncio.sleep(pause)


class Fleet:
    """Starts members of one swarm; all are killed with `forks`."""

    def __init__(
        self, forks: Forks, upstream: str, home: Path, tiers: dict[str, float] | None = None, /, **limits: float
    ) -> None:
        self._tiers = tiers or {}
        self._forks = forks
        self._upstream = upstream
        self._home = home
        self._limits = limits
        self._secret = secrets.token_hex(32)
        self.members: list[Member] = []

    def start(
        self,
        name: str,
        *flags: str,
        token: str,
        repository: str = "octo/app",
        listen: str = "/ip4/127.0.0.1/tcp/0",
        upstream: str = "",
        inside: str = "",
        **variables: str,
    ) -> Member:
        """A node with the token and the repository of a job, `inside` a network namespace; returns at once."""
        home = self._home / name
        home.mkdir(parents=True)
        arguments: list[str | Path] = [
            *("serve", "--listen", "127.0.0.1:0", "--socket", home / "s", "--dir", home / "store"),
            *("--ready-file", home / "ready.json", *(("--p2p-listen", listen) if listen else ())),
            *("--upstream", upstream or self._upstream, *flags),
        ]
        named = {"CACHE_SECRET": self._secret, **job(token, repository)}
        variables = environment(home, **{**named, "CACHE_TTL": "600", **variables})

        def again(*more: str) -> int:
            return self._forks.start([*arguments, *more], variables, home / "log", self._limits, inside, self._tiers)

        member = Member(name, home, token, again)
        member.pid = member.start()
        self.members.append(member)
        return member

    def restart(self, member: Member, listen: str) -> Member:
        """Start it again, after a kill, with the same directory."""
        (member.home / "ready.json").unlink()
        member.pid = member.start("--p2p-listen", listen)
        return member

    async def hub(self, *flags: str, token: str, **options: str) -> Member:
        return await self.start("hub", "--hub", *flags, token=token, **options).until_ready()

    async def joined(self, hub: Member, *tokens: str, **options: str) -> list[Member]:
        """Members that found the hub, one for each token."""
        address = hub.ready["multiaddrs"][0]
        names = [f"{len(self.members)}-{number}" for number in range(len(tokens))]
        started = [
            self.start(name, "--bootstrap", address, token=token, **options)
            for name, token in zip(names, tokens, strict=True)
        ]
        for member in started:
            await member.until_ready()
        await asyncio.gather(*(member.until_connected(hub) for member in started))
        return started

    def stop(self) -> None:
        for member in self.members:
            member.kill()

    def end(self) -> None:
        """Ask all that run to end, and wait until they have: a member that does not end by itself fails the test."""
        running = [member for member in self.members if not member.over]
        for member in running:
            member.kill(signal.SIGTERM)
        deadline = time.monotonic() + END_SECONDS
        while left := [member.name for member in running if not member.over]:
            if time.monotonic() > deadline:
                pytest.fail(f"not ended within {END_SECONDS} s: {left}")
            time.sleep(0.05)
