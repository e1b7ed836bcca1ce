"""Carries the decision out: one loop over `decide`, with the tiers on one side and GitHub on the other."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

from p2pcache.cache import decide as rules
from p2pcache.cache.answer import Answer, Cached, Forwarded, RateLimited
from p2pcache.cache.buckets import Buckets
from p2pcache.cache.conditions import Believed
from p2pcache.cache.decide import Asked, Fetch, Refuse, Rule, Serve
from p2pcache.cache.entry import Entry, Pointer
from p2pcache.cache.flight import Flights
from p2pcache.cache.library import Found, Library, Place
from p2pcache.cache.origin import Origin, Plan, Policy
from p2pcache.cache.tiers import Lease, Leases
from p2pcache.cache.turns import Turns
from p2pcache.cache.upstream import Upstream, UpstreamError
from p2pcache.cache.wanted import Wanted
from p2pcache.github import quota, writes
from p2pcache.github.trial import RuleTrial

__all__ = ["Engine", "Policy"]

FOLLOW_SECONDS = 30.0
"""How long a caller waits for another who asks GitHub the same, before it asks by itself."""
LEASE_SECONDS = 45.0
RELEASE_SECONDS = 1.0
MAX_MISSING = 3
"""Blocks announced but not to be had, after which a request is not kept waiting for another."""
_GONE = (404, 410, 451)


class _NoLease:
    """Leases are out of order: ask, since nobody says who else does."""

    async def release(self, pointer: Pointer | None) -> None:
        """Nobody waits."""

    async def abandon(self) -> None:
        """Nobody waits."""


class Engine:
    """Answers reads and forgets after writes."""

    def __init__(
        self,
        library: Library,
        upstream: Upstream,
        buckets: Buckets,
        policy: Policy,
        leases: Leases | None = None,
    ) -> None:
        self.library = library
        self.buckets = buckets
        self.policy = policy
        self.leases = leases
        self._origin = Origin(library, upstream, buckets, policy)
        self._flights: Flights[Answer] = Flights(patience=FOLLOW_SECONDS)
        self._turns = Turns(patience=FOLLOW_SECONDS)

    @property
    def trial(self) -> RuleTrial:
        """What is known of the ETag rule at this upstream."""
        return self._origin.trial

    def believed(self, wanted: Wanted) -> Believed:
        """What is believed of the ETag rule for what is wanted."""
        return self._origin.believed(wanted)

    def asked(self, wanted: Wanted) -> Asked:
        """The facts the decision depends on, now."""
        advice = self.buckets.advice(wanted.bucket, wanted.quota)
        return Asked(
            scope=wanted.scope,
            now=self.policy.clock(),
            validators=not wanted.read.resource.digest,
            tag=wanted.read.tag,
            computed_tags=self.trial.usable(wanted.read.shape, self.policy.monotonic()),
            dated=wanted.read.dated,
            stretch=advice.stretch,
            serve_stale=advice.serve_stale,
            refuse=advice.refuse,
            wait=self.buckets.wait_until(wanted.bucket) is not None,
            oldest=wanted.oldest,
        )

    def hit(self, wanted: Wanted) -> Cached | None:
        """Memory alone, without waiting: the way of nearly every request."""
        entry = self.library.memory.get((wanted.name, wanted.scope))
        now = self.policy.clock()
        if entry is None or not entry.pointer.fresh(now) or abs(now - entry.pointer.proved_at) >= wanted.oldest:
            return None
        return Cached(entry, Rule.FRESH, "memory")

    async def read(self, wanted: Wanted) -> Answer:
        """One answer for one read; callers who want the same thing at the same time share the work.

        Raises:
            UpstreamError: GitHub cannot be reached and nothing can stand in.
        """
        if kept := self.hit(wanted):
            return kept
        asked = self.policy.clock()
        epoch = self.library.epoch(wanted.topics, wanted.scope)
        if wanted.oldest < math.inf:  # what others were told, or are waiting for, may be older than this caller takes
            looked = await self._look(wanted, epoch, set())
            return await self._ask(wanted, looked) if isinstance(looked, Plan) else looked
        key = (wanted.name, wanted.scope, wanted.credential, epoch)
        landed = await self._flights.run(key, lambda: self._lead(wanted, epoch))
        answer = landed.value
        if landed.led or isinstance(answer, RateLimited):
            return answer
        if isinstance(answer, Cached):
            if not answer.stale and not answer.entry.pointer.fresh(asked):
                return await self._lead(wanted, epoch)  # it took so long that it was too old when this caller came
            return replace(answer, hit="stale" if answer.stale else "coalesced", forwarded=None, stored=False, pairs=())
        if answer.body is None or answer.forwarded == 304:
            # A stream has one reader only, and a 304 answers the conditions that its own caller sent.
            return await self._lead(wanted, epoch)
        return replace(answer, shared=True)

    async def wrote(self, drops: tuple[str, ...]) -> None:
        """A write went through: forget what it may have changed, here and at the peers, before its answer goes out."""
        await self.library.drop(set(self.library.keyring.topic_names(drops)))

    def told_to_wait(self, scope: str) -> RateLimited | None:
        """GitHub's refusal, said here, while a caller whose clear scope this is was asked to wait; else None.

        For requests that only pass through: nothing of a token goes out before its time.
        """
        until = self.buckets.wait_until(scope)
        if until is None:
            return None
        status, headers, body = quota.wait_refusal(until, self.policy.clock())
        return RateLimited(status, tuple(headers), body, Rule.REFUSE_LIMIT)

    async def _lead(self, wanted: Wanted, epoch: int) -> Answer:
        missing: set[Place] = set()
        looked = await self._look(wanted, epoch, missing)
        if isinstance(looked, Plan) and await self._turns.wait(wanted.name):
            missing = set()
            looked = await self._look(wanted, epoch, missing)
        if not isinstance(looked, Plan):
            return looked
        with self._turns.take(wanted.name):
            if self.leases is None:
                return await self._ask(wanted, looked)
            return await self._ask_for_all(wanted, self.leases, epoch, missing)

    async def _ask_for_all(self, wanted: Wanted, leases: Leases, epoch: int, missing: set[Place]) -> Answer:
        """One call for the fleet: when it is this node's turn, another may have been there before."""
        guard = self.library.guard
        lease: Lease | None = None
        left = None
        try:
            for again in (bool(missing), True):
                acquiring = leases.acquire(wanted.name, wanted.scope, again=again)
                lease = await guard("lease", acquiring, _NoLease(), LEASE_SECONDS)
                if lease is None:
                    missing = set()  # somebody left something: it may well be the block that could not be had before
                looked = await self._look(wanted, epoch, missing)
                if lease is not None or not isinstance(looked, Plan) or not isinstance(looked.decision, Fetch):
                    break  # its turn, served, or to be proved: else what another left cannot be had
            answer = await self._ask(wanted, looked) if isinstance(looked, Plan) else looked
            if isinstance(answer, Cached) and answer.stored:
                left = answer.entry.pointer
        except asyncio.CancelledError:  # the node stops, say: those who wait are not to ask GitHub all at once
            if lease is not None:
                await guard("lease", lease.abandon(), None, RELEASE_SECONDS)
                lease = None
            raise
        else:
            return answer
        finally:
            if lease is not None:
                await guard("lease", lease.release(left), None, RELEASE_SECONDS)

    async def _look(self, wanted: Wanted, epoch: int, missing: set[Place]) -> Cached | RateLimited | Plan:
        """Decide over what the tiers have now; a block that cannot be had any more is left out of a new decision.

        `missing` is where such blocks should be: a caller waits for each place once.
        """
        for _ in range(MAX_MISSING):
            found = await self.library.find(wanted, self.policy.lifetimes[wanted.read.lifetime], missing)
            decision = rules.decide(self.asked(wanted), [f.pointer for f in found])
            if isinstance(decision, Refuse):
                return self._refuse(wanted, decision)
            if not isinstance(decision, Serve):
                return Plan(decision, found, epoch)
            if kept := await self._serve(wanted, decision, found, epoch):
                return kept
            missing.update(f.place for f in found if f.pointer.cid == decision.pointer.cid)
        return Plan(Fetch(Rule.FETCH_UNPROVABLE), [], epoch)

    async def _serve(self, wanted: Wanted, decision: Serve, found: list[Found], epoch: int) -> Cached | None:
        pointer = decision.pointer
        opened = await self.library.open(pointer, found)
        if opened is None:
            return None
        held = self.library.memory.get((pointer.name, pointer.scope))
        entry = held if held is not None and held.pointer == pointer else Entry(pointer, opened.block, alive=False)
        kept = self.library.epoch(wanted.topics, wanted.scope) == epoch
        if opened.sealed is not None and kept and not decision.stale:
            self.library.keep(entry, opened.sealed, besides=opened.tier)
        return Cached(entry, decision.rule, "stale" if decision.stale else opened.tier, stale=decision.stale)

    def _refuse(self, wanted: Wanted, decision: Refuse) -> RateLimited:
        if refused := self.told_to_wait(wanted.bucket):
            return refused
        now = self.policy.clock()
        bucket = self.buckets.get(wanted.bucket, wanted.quota)
        status, headers, body = quota.refusal(bucket, now) if bucket else quota.wait_refusal(now, now)
        return RateLimited(status, tuple(headers), body, decision.rule)

    async def _ask(self, wanted: Wanted, plan: Plan) -> Cached | Forwarded:
        """Ask GitHub; where it fails or refuses, the caller's own expired entry stands in if that is allowed."""
        found = list(plan.found)
        try:
            answer = await self._origin.ask(wanted, plan)
        except UpstreamError:
            if kept := await self._stand_in(wanted, found, plan.epoch, limited=False):
                return kept
            raise
        if isinstance(answer, Cached):
            return answer
        if answer.limited or answer.forwarded >= 500:
            if kept := await self._stand_in(wanted, found, plan.epoch, limited=answer.limited):
                await answer.response.close()
                return replace(kept, forwarded=answer.forwarded)
        elif answer.forwarded in (401, 403, *_GONE):
            await self._refused(wanted, answer.forwarded, found)
        return answer

    async def _stand_in(self, wanted: Wanted, found: list[Found], epoch: int, *, limited: bool) -> Cached | None:
        pointers = [f.pointer for f in found]
        asked = self.asked(wanted)
        decision = rules.decide(asked, pointers) if limited else rules.on_failure(asked, pointers)
        return await self._serve(wanted, decision, found, epoch) if isinstance(decision, Serve) else None

    async def _refused(self, wanted: Wanted, status: int, found: list[Found]) -> None:
        """GitHub refuses this scope what it gave before. Nothing of others is touched.

        A credential it does not know any more loses everything; a repository that is gone, or hidden, goes with all
        that is in it; a permission that is missing (403) is missing for this resource.
        """
        if all(f.pointer.scope != wanted.scope for f in found):
            return
        self.library.doubt(wanted)
        if status == 403:
            return
        clear = (writes.ALL,) if status == 401 else writes.drops("DELETE", _root(wanted.read.resource.path))
        topics = set(self.library.keyring.topic_names(clear))
        await self.library.drop(topics, wanted.scope, local=True)


def _root(path: str) -> str:
    """The repository that a path is in, else the path."""
    parts = path.split("/")
    length = {"repos": 4, "repositories": 3}.get(parts[1], len(parts))
    return "/".join(parts[:length])
