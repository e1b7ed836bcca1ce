"""A stand-in GitHub, a fleet of nodes in a place, and the workload of its jobs."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from p2pcache.cache.sealing import generate_secret
from p2pcache.scenarios.outcome import Figures, figures
from p2pcache.scenarios.places import Site, UnexpectedError

REPOSITORY = "octo/app"
READY_SECONDS = 120.0
CONNECT_SECONDS = 30.0
WORK_SECONDS = 60.0
GITHUB, HUB = "github", "hub"
"""Names of processes."""
RUNNERS, FIRST, SECOND = FLEETS = ("runner", "first", "second")
"""Names of fleets: the one there is, or two that never meet."""
PATHS = (
    *("", "/issues", "/releases", "/branches", "/labels", "/commits", "/pulls", "/contents/README.md"),
    *(f"/issues/{number}" for number in range(1, 9)),
)
"""What jobs read of a repository."""


def token(name: str) -> str:
    """Return the token of a runner's job."""
    return f"ghs_{name.replace('-', '')}"


@dataclass(frozen=True, slots=True)
class Workload:
    """What each scenario does, the same in all.

    Attributes:
        runners: jobs, with a token each.
        resources: different reads of a job.
        rounds: how often it makes each of them.
        latency: seconds that the stand-in GitHub takes for an answer.
    """

    runners: int = 3
    resources: int = 10
    rounds: int = 3
    latency: float = 0.1

    @property
    def requests(self) -> int:
        """The number of requests of all runners."""
        return self.runners * self.resources * self.rounds

    def targets(self, runner: int) -> list[str]:
        """Return the reads of one round in a runner's own order: jobs of a matrix are rarely in step."""
        every = [f"/repos/{REPOSITORY}{path}" for path in PATHS[: self.resources]]
        first = runner * self.resources // self.runners
        return every[first:] + every[:first]


@dataclass(slots=True)
class Trial:
    """One scenario in a place: its GitHub, and the nodes of its fleets.

    Attributes:
        place: where all of it runs.
        load: the workload.
        progress: is called with what happens next, in a few words.
        github: the URL of the stand-in, once it runs.
    """

    place: Site
    load: Workload
    progress: Callable[[str], None]
    github: str = ""
    _secret: str = field(default_factory=generate_secret)
    _nodes: list[str] = field(default_factory=list)

    async def start_github(self) -> None:
        """Start the stand-in GitHub."""
        self.progress("starting the stand-in GitHub")
        file, bind = self.place.path(GITHUB, "ready.json"), self.place.binds(GITHUB)
        tokens = (f"--token={token(name)}={REPOSITORY}" for fleet in FLEETS for name in (HUB, *self.names(fleet)))
        flags = ("--host", bind, "--latency", str(self.load.latency), "--ready-file", file, *tokens)
        await self.place.start(GITHUB, ("p2pcache.testing", *flags), {})
        ready = await self.place.order(GITHUB, "ready", file=file, seconds=READY_SECONDS)
        self.github = f"http://{self.place.reached(GITHUB)}:{ready['url'].rpartition(':')[2]}"

    def names(self, fleet: str = RUNNERS) -> list[str]:
        """Return the names of a fleet's runners."""
        return [f"{fleet}-{number + 1}" for number in range(self.load.runners)]

    async def start_fleet(
        self,
        fleet: str = RUNNERS,
        *,
        p2p: bool = True,
        hub: bool = True,
        flags: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Start a node for each runner, and before them a hub if there is to be one; return the runners' names.

        Without a hub the first runner is what the others are given as bootstrap peer.
        """
        names = self.names(fleet)
        if not p2p:
            self.progress("starting the runners")
            await asyncio.gather(*(self._start_node(name, ["--no-p2p", *flags], variables) for name in names))
        else:
            first, *rest = [HUB, *names] if hub else names
            self.progress(f"starting {first}")
            ready = await self._start_node(first, [*(["--hub"] if hub else []), *flags], variables, p2p=True)
            at = _multiaddr(self.place.reached(first), ready)
            self.progress("starting the runners")
            members = (self._start_node(name, ["--bootstrap", at, *flags], variables, p2p=True) for name in rest)
            await asyncio.gather(*members)
        return names

    async def _start_node(
        self, name: str, flags: Sequence[str], variables: Mapping[str, str] | None, *, p2p: bool = False
    ) -> Any:
        environment = {
            "CACHE_SECRET": self._secret,
            "CACHE_JOB_TOKEN": token(name),
            "CACHE_TTL": "600",  # a round does not outlive an answer, however slow the machine is
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": REPOSITORY,
            **(variables or {}),
        }
        file = self.place.path(name, "ready.json")
        where = ("--dir", self.place.path(name, "store"), "--socket", self.socket(name), "--ready-file", file)
        listen = ("--p2p-listen", f"/ip4/{self.place.binds(name)}/tcp/0")
        await self.place.start(
            name, ("p2pcache", "serve", "--upstream", self.github, *where, *listen, *flags), environment
        )
        self._nodes.append(name)
        return await self.place.order(name, "ready", file=file, seconds=READY_SECONDS, p2p=p2p)

    def socket(self, name: str) -> str:
        """Return the path of a node's unix socket."""
        return self.place.path(name, "s")

    async def connect(self, names: Sequence[str]) -> None:
        """Wait until each runner has a peer.

        Raises:
            UnexpectedError: one has none.
        """
        self.progress("connecting the runners")
        for name, found in zip(names, await asyncio.gather(*map(self._peers, names)), strict=True):
            if not found["connected"]:
                why = found["reasons"][0] if found["reasons"] else "it knows none"
                raise UnexpectedError(f"{name} was connected to no peer within {CONNECT_SECONDS:g} s: {why}")

    async def _peers(self, name: str, seconds: float = CONNECT_SECONDS) -> Any:
        return await self.place.order(name, "peers", socket=self.socket(name), seconds=seconds)

    async def work(self, names: Sequence[str], *, cache: bool = True, p2p: bool = True) -> Figures:
        """Run the workload: all runners at once, round by round; without `cache` they ask GitHub itself.

        Raises:
            UnexpectedError: an answer was wrong.
        """
        await self.control("reset-calls", {})
        answers: list[dict[str, Any]] = []
        for number in range(self.load.rounds):
            self.progress(f"round {number + 1} of {self.load.rounds}")
            rounds = [
                self.place.order(
                    name if cache else GITHUB,
                    "work",
                    at=self.socket(name) if cache else self.github,
                    token=token(name),
                    targets=self.load.targets(i),
                    seconds=WORK_SECONDS,
                )
                for i, name in enumerate(names)
            ]
            for answered in await asyncio.gather(*rounds):
                answers += answered
        _check(answers)
        calls = await self.calls()
        return figures(
            peers=[(await self._peers(name, 0.0))["connected"] if cache and p2p else 0 for name in names],
            milliseconds=[answer["ms"] for answer in answers],
            charged=sum(call["charged"] for call in calls),
            not_modified=sum(call["status"] == 304 and not call["charged"] for call in calls),
        )

    async def calls(self) -> list[dict[str, Any]]:
        """Return what the stand-in was asked since the workload began, oldest first: each a `testing.faults.Call`."""
        calls: list[dict[str, Any]] = await self.place.order(GITHUB, "ask", at=self.github, target="/_stand-in/calls")
        return calls

    async def end_fleet(self) -> None:
        """End all nodes; what they still have to write to a store is written."""
        self.progress("ending the fleet")
        nodes, self._nodes = self._nodes, []
        await self.place.stop(*nodes)

    async def control(self, action: str, body: object) -> None:
        """Change the stand-in; `action` and `body` are those of its control addresses."""
        await self.place.order(GITHUB, "ask", at=self.github, target=f"/_stand-in/{action}", body=body)


def _multiaddr(host: str, ready: Mapping[str, Any]) -> str:
    try:
        kind = f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        kind = "dns4"
    return f"/{kind}/{host}/tcp/{ready['p2p_port']}/p2p/{ready['peer_id']}"


def _check(answers: Sequence[Mapping[str, Any]]) -> None:
    first: dict[str, str] = {}
    wrong = sum(
        answer["status"] != 200 or first.setdefault(answer["target"], answer["digest"]) != answer["digest"]
        for answer in answers
    )
    if wrong:
        raise UnexpectedError(f"{wrong} of {len(answers)} answers were wrong; please report this")
