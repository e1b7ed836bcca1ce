"""Looks a read up in the tiers and decides over what they have; finds the entry that stands in for GitHub."""

from __future__ import annotations

import math

from p2pcache.cache import decide as rules
from p2pcache.cache.answer import Cached, RateLimited
from p2pcache.cache.buckets import Buckets
from p2pcache.cache.decide import Asked, Fetch, Refuse, Rule, Serve
from p2pcache.cache.entry import Entry
from p2pcache.cache.library import MEMORY, Found, Library, Place
from p2pcache.cache.origin import Plan, Policy
from p2pcache.cache.upstream_times import UpstreamTimes
from p2pcache.cache.wanted import Wanted
from p2pcache.github import quota
from p2pcache.github.trial import RuleTrial

MAX_MISSING = 3
"""Missing blocks of known pointers, after which a request waits for no other."""


class Lookup:
    """The tiers and the decision over them."""

    def __init__(
        self, library: Library, buckets: Buckets, policy: Policy, trial: RuleTrial, times: UpstreamTimes
    ) -> None:
        self._library = library
        self._buckets = buckets
        self._policy = policy
        self._trial = trial
        self._times = times

    def asked(self, wanted: Wanted) -> Asked:
        """Return the facts that the decision depends on, as they are now."""
        advice = self._buckets.advice(wanted.bucket, wanted.quota)
        return Asked(
            scope=wanted.scope,
            now=self._policy.clock(),
            validators=not wanted.read.resource.digest,
            tag=wanted.read.tag,
            computed_tags=self._trial.usable(wanted.read.shape, self._policy.monotonic()),
            dated=wanted.read.dated,
            stretch=advice.stretch,
            serve_stale=advice.serve_stale,
            refuse=advice.refuse,
            wait=self._buckets.wait_until(wanted.bucket) is not None,
            oldest=wanted.oldest,
        )

    def hit(self, wanted: Wanted) -> Cached | None:
        """Return memory's fresh entry, or None, without waiting: the path of nearly every request."""
        entry = self._library.memory.get((wanted.name, wanted.scope))
        if entry is None or not rules.fresh_enough(entry.pointer, self._policy.clock(), wanted.oldest):
            return None
        return Cached(entry, Rule.FRESH, MEMORY)

    async def look(self, wanted: Wanted, epoch: int, missing: set[Place]) -> Cached | RateLimited | Plan:
        """Decide over what the tiers have now; where the block is gone, decide again without it.

        `missing` collects the places of such blocks: a caller waits for each place once. While the quota is short, and
        nothing is found, it waits once for what another node may bring.
        """
        lifetime = self._policy.lifetimes[wanted.read.lifetime]
        awaited = not self._scarce(wanted) or bool(wanted.read.resource.digest)  # no GraphQL answer comes that way
        for _ in range(MAX_MISSING):
            found = await self._library.find(wanted, lifetime, missing, self._patience(wanted))
            decision = rules.decide(self.asked(wanted), [f.pointer for f in found])
            if isinstance(decision, Refuse):
                return self._refuse(wanted, decision)
            if not isinstance(decision, Serve):
                if awaited or found or not await self._library.arrival(wanted.name):
                    return Plan(decision, found, epoch)
                awaited = True
                continue
            if cached := await self._serve(wanted, decision, found, epoch):
                return cached
            missing.update(f.place for f in found if f.pointer.cid == decision.pointer.cid)
        return Plan(Fetch(Rule.FETCH_UNPROVABLE), [], epoch)

    def _patience(self, wanted: Wanted) -> float | None:
        """Return the seconds that GitHub would take; while the quota is short a call saved is worth any wait."""
        return math.inf if self._scarce(wanted) else self._times.usual(wanted.read.shape)

    def _scarce(self, wanted: Wanted) -> bool:
        return self._buckets.advice(wanted.bucket, wanted.quota).stretch > 1

    async def stand_in(self, wanted: Wanted, plan: Plan, *, limited: bool) -> Cached | None:
        """Return the caller's own entry where GitHub did not answer or (`limited`) refused because of a limit."""
        pointers = [f.pointer for f in plan.found]
        asked = self.asked(wanted)
        decision = rules.decide(asked, pointers) if limited else rules.on_failure(asked, pointers)
        if not isinstance(decision, Serve):
            return None
        return await self._serve(wanted, decision, list(plan.found), plan.epoch)

    async def _serve(self, wanted: Wanted, decision: Serve, found: list[Found], epoch: int) -> Cached | None:
        pointer = decision.pointer
        opened = await self._library.open(pointer, found)
        if opened is None:
            return None
        entry = self._library.memory.get((pointer.name, pointer.scope))
        if entry is None or entry.pointer != pointer:
            entry = Entry(pointer, opened.block, alive=False)
        current = self._library.epoch(wanted.topics, wanted.scope) == epoch
        if opened.sealed is not None and current and not decision.stale:
            self._library.keep(entry, opened.sealed, exclude=opened.tier)
        return Cached(entry, decision.rule, "stale" if decision.stale else opened.detail, stale=decision.stale)

    def _refuse(self, wanted: Wanted, decision: Refuse) -> RateLimited:
        if refusal := self._buckets.wait_refusal(wanted.bucket):
            return refusal
        now = self._policy.clock()
        bucket = self._buckets.get(wanted.bucket, wanted.quota)
        status, headers, body = quota.refusal(bucket, now) if bucket else quota.wait_refusal(now, now)
        return RateLimited(status, tuple(headers), body, decision.rule)
