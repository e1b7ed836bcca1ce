"""Two nodes and a swarm against a model of GitHub: whatever happens, no leak, no wrong byte, nothing too old.

The model is the stand-in GitHub and the history of what it would have told each token: an answer must be what GitHub
would have told this very token at some moment within the promise, and not before the last write that went through a
node. Time moves a little with every step, so that no two states of the world share an instant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from p2pcache.cache.answer import Answer, Cached, Forwarded
from p2pcache.cache.decide import STALE_IF_ERROR
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.upstream import UpstreamError
from p2pcache.cache.wanted import ScopePolicy
from p2pcache.github.lifetimes import DEFAULT_SECONDS
from p2pcache.github.request import Request
from p2pcache.testing import MemorySwarm, StandIn, Verdict
from p2pcache.testing.direct import Direct
from p2pcache.testing.nodes import Clock, MemoryNode
from tests.property.history import Disk, History, Reading, Truth

APP, VAULT = "octo/app", "octo/vault"
# Two jobs of one repository share a scope; the others are on their own.
JOBS = ("ghs_first", "ghs_second")
TOKENS = (*JOBS, "ghp_member", "ghp_stranger", None)
TICK = 0.001
LIMIT = 10**9
KEYRING = Keyring.ephemeral()

node_numbers = st.integers(0, 1)
tokens = st.sampled_from(TOKENS)


class Fleet(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.github = StandIn(clock=self.clock)
        self.github.repository(APP, issues=3, commits=2)
        self.number = self.github.repository(VAULT, private=True, issues=3, commits=2).id
        self.vault = VAULT
        for token in JOBS:
            self.github.token(token, repos=[APP, VAULT], limit=LIMIT)
        self.github.token("ghp_member", repos=[VAULT], limit=LIMIT)
        self.github.token("ghp_stranger", limit=LIMIT)
        self.github._state.quota.limit("ip:127.0.0.1", LIMIT)  # nobody, too, may ask as often as the model does
        self.histories: dict[tuple[str, str | None], History] = {}
        self.written: dict[str, float] = {}
        self.readings: list[Reading] = []
        self.held: list[asyncio.Event] = []
        self.hold: str | None = None
        self.is_down = self.taken = False
        self.serial = 0
        self.upstream = Direct(self.github)
        self.upstream.around = self.around
        self.swarm = MemorySwarm()
        self.disks = [Disk(), Disk()]
        self.nodes = [self.loop.run_until_complete(self.started(number)) for number in range(2)]
        self.targets = [
            f"/repos/{APP}",
            "/repos/octo/app/milestones",
            f"/repos/{VAULT}",
            f"/repos/{VAULT}/issues?per_page=2",
            f"/repositories/{self.number}/issues",
            "/orgs/octo/repos",
            "/orgs/octo/repos?per_page=1",
        ]
        self.note()

    async def started(self, number: int) -> MemoryNode:
        return MemoryNode(
            self.upstream,
            self.clock,
            keyring=KEYRING,
            peer=self.swarm.join(),
            tiers=[self.disks[number]],
            identity=ScopePolicy(JOBS[number], APP, per_credential=False),
        )

    async def around(self, request: Request, answer: Callable[[], Verdict]) -> Verdict:
        if self.is_down:
            raise UpstreamError("down")
        hold, self.hold = self.hold, None
        verdict = answer() if hold == "answer" else None
        if hold is not None:
            event = asyncio.Event()
            self.held.append(event)
            await event.wait()
        return verdict or answer()

    # The model

    def note(self) -> None:
        """The world may have changed."""
        self.clock.sleep(TICK)
        for target in self.targets:
            for token in TOKENS[1:]:
                history = self.histories.setdefault((target, token), History())
                history.note(self.clock(), self.truth(target, token))

    def truth(self, target: str, token: str | None) -> Truth:
        headers = {"accept": "application/vnd.github+json"}
        headers |= {"authorization": f"Bearer {token}"} if token else {}
        verdict = self.github.ask("GET", target, headers)
        return Truth(verdict.status, verdict.body, verdict.headers.get("link"), verdict.headers.get("location"))

    def check(self, reading: Reading, answer: Answer) -> None:
        now = self.clock()
        if isinstance(answer, Forwarded):
            fields = answer.response.headers
            given = Truth(answer.forwarded, answer.body or b"", fields.get("link"), fields.get("location"))
            promise = reading.at - reading.joined  # an error is shared, but never kept
        else:
            assert isinstance(answer, Cached), answer
            block, pointer = answer.entry.block, answer.entry.pointer
            given = Truth(block.status, block.body, pointer.link, dict(block.headers).get("location"))
            promise = DEFAULT_SECONDS[next(each for each in DEFAULT_SECONDS if each == pointer.lifetime)]
            promise += STALE_IF_ERROR if answer.stale else 0.0
            assert now - pointer.proved_at <= promise + (now - reading.at)
        first = max(reading.at - promise, reading.written)
        # The jobs of the repository share a scope, and see the same.
        told = self.histories[reading.target, JOBS[1] if reading.token in JOBS else reading.token].between(first, now)
        assert given in told, f"{reading.target} for {reading.token}: {given} is none of {told}"

    def settle(self) -> None:
        """Let everybody get as far as they can, and check who got somewhere."""

        async def idle() -> None:
            for _ in range(60):
                await asyncio.sleep(0)

        self.loop.run_until_complete(idle())
        under_way = []
        for reading in self.readings:
            if not reading.task.done():
                under_way.append(reading)
            elif error := reading.task.exception():
                assert isinstance(error, UpstreamError), error
            else:
                self.check(reading, reading.task.result())
        self.readings = under_way

    # What happens

    @rule(number=node_numbers, token=tokens, which=st.integers(0, 6))
    def read(self, number: int, token: str | None, which: int) -> None:
        self.start(number, token, which)
        self.settle()

    @rule(number=node_numbers, token=tokens, which=st.integers(0, 6), hold=st.sampled_from(["question", "answer"]))
    def read_slowly(self, number: int, token: str | None, which: int, hold: str) -> None:
        """GitHub has not judged it yet, or has and the answer is on its way."""
        self.hold = hold
        self.start(number, token, which)
        self.settle()
        self.hold = None

    def start(self, number: int, token: str | None, which: int) -> None:
        self.clock.sleep(TICK)
        if token in JOBS:
            number = JOBS.index(token)  # a job's token is known as such at its own node
        target = self.targets[which]
        reading = self.nodes[number].get(target, token)
        task = self.loop.create_task(reading)
        now = self.clock()
        joined = min([now, *(each.joined for each in self.readings if each.target == target and each.token == token)])
        self.readings.append(Reading(target, token, now, joined, self.written.get(target, 0.0), task))

    @rule()
    def arrive(self) -> None:
        """What was slow arrives."""
        self.clock.sleep(TICK)
        for event in self.held:
            event.set()
        self.held.clear()
        self.settle()

    @rule(
        reader=node_numbers, writer=node_numbers, repo=st.sampled_from([APP, VAULT]), pause=st.sampled_from([0.0, 70.0])
    )
    def race(self, reader: int, writer: int, repo: str, pause: float) -> None:
        """An answer is on its way while a write passes, and while the one after it is asked for."""
        which = self.targets.index(f"/repos/{repo}")
        self.read_slowly(reader, JOBS[reader], which, "answer")
        self.wait(pause)
        self.write(writer, repo)
        self.read(reader, JOBS[reader], which)
        self.arrive()
        self.wait(30.0)
        self.edit(repo)
        self.wait(31.0)
        self.read(1 - reader, JOBS[1 - reader], which)
        self.read(reader, JOBS[reader], which)

    @rule(number=node_numbers)
    def hang_up(self, number: int) -> None:
        """A client goes away."""
        if self.readings:
            self.readings.pop(number % len(self.readings)).task.cancel()
            self.settle()

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0, 299.0, 400.0, 4000.0]))
    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @rule(repo=st.sampled_from([APP, VAULT]))
    def edit(self, repo: str) -> None:
        """Somebody changes a repository, past the nodes."""
        self.serial += 1
        self.github.edit(self.name(repo), description=f"edit {self.serial}")
        self.note()

    @rule(number=node_numbers, repo=st.sampled_from([APP, VAULT]))
    def write(self, number: int, repo: str) -> None:
        """A write goes through a node: whoever asks after its answer sees it."""
        self.edit(repo)
        self.loop.run_until_complete(self.nodes[number].wrote("PATCH", f"/repos/{self.name(repo)}"))
        self.clock.sleep(TICK)
        mine = [target for target in self.targets if target.startswith(("/orgs", f"/repos/{self.name(repo)}"))]
        aliases = [target for target in self.targets if target.startswith("/repositories") and repo == VAULT]
        self.written |= dict.fromkeys([*mine, *aliases], self.clock())

    @rule()
    def open_issue(self) -> None:
        title = f'{{"title": "issue {self.serial}"}}'.encode()
        self.serial += 1
        path = f"/repos/{self.vault}/issues"
        assert self.github.ask("POST", path, {"authorization": "Bearer ghs_first"}, title).status in (201, 401, 404)
        self.note()

    def name(self, repo: str) -> str:
        return self.vault if repo == VAULT else repo

    @rule()
    def rename(self) -> None:
        self.serial += 1
        old, self.vault = self.vault, f"octo/vault-{self.serial}"
        self.github.rename(old, self.vault)
        self.note()

    @precondition(lambda self: self.vault != VAULT and not self.taken)
    @rule()
    def take_the_old_name(self) -> None:
        """Another private repository under a name that once redirected; nobody may read it."""
        self.taken = True
        self.github.repository(VAULT, private=True, issues=1)
        self.note()

    @rule(token=st.sampled_from(["ghp_stranger", "ghp_member"]), allowed=st.booleans())
    def grant_or_revoke(self, token: str, allowed: bool) -> None:
        (self.github.grant if allowed else self.github.revoke)(token, self.vault)
        self.note()

    @rule(private=st.booleans())
    def publish_or_hide(self, private: bool) -> None:
        self.github.edit(self.vault, private=private)
        self.note()

    @rule()
    def revoke_token(self) -> None:
        self.github.revoke("ghp_member")
        self.note()

    @rule(number=node_numbers)
    def restart(self, number: int) -> None:
        """A node dies; its disk stays."""
        self.swarm.peers[-1 if len(self.swarm.peers) == 2 else number].alive = True
        self.loop.run_until_complete(self.nodes[number].close())
        self.nodes[number] = self.loop.run_until_complete(self.started(number))

    @rule(down=st.booleans())
    def outage(self, down: bool) -> None:
        self.is_down = down

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.is_down = False
            while self.held:
                self.arrive()
            assert self.readings == [], "a read never ends"
            for node in self.nodes:
                self.loop.run_until_complete(node.close())
            assert self.upstream.open == 0
        finally:
            for reading in self.readings:
                reading.task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()


TestFleet = Fleet.TestCase
TestFleet.settings = settings(
    stateful_step_count=30,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
