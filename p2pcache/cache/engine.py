"""Carries the decision out: looks into the tiers, waits for callers of the same resource, and asks GitHub."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import assert_never

from p2pcache.cache.answer import Answer, Cached, Forwarded, coalesced, shareable
from p2pcache.cache.buckets import Buckets
from p2pcache.cache.conditions import Believed
from p2pcache.cache.decide import Asked, Fetch
from p2pcache.cache.entry import Pointer
from p2pcache.cache.guard import GuardedLeases
from p2pcache.cache.leases import LocalLeases
from p2pcache.cache.library import Library, Place
from p2pcache.cache.lookup import Lookup
from p2pcache.cache.origin import Origin, Plan, Policy
from p2pcache.cache.tiers import Freed, Lease, Leases
from p2pcache.cache.upstream import Upstream, UpstreamError
from p2pcache.cache.wanted import Wanted, all_scopes
from p2pcache.github import writes
from p2pcache.github.trial import RuleTrial

__all__ = ["Engine", "Policy"]

FOLLOW_SECONDS = 30.0
"""Seconds that a caller waits for another one of this node that asks GitHub the same, before it asks by itself."""
_GONE = (404, 410, 451)


@dataclass(frozen=True, slots=True)
class Look:
    """Decide over what the tiers have now."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Acquire the next lease: of equal callers, of this node, of the fleet."""

    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask GitHub."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Done:
    """Answer."""

    answer: Answer


Step = Look | Wait | Ask | Done


@dataclass(frozen=True, slots=True)
class _LeaseRequest:
    """A lease to acquire. `last`: the result of the fleet's holder could not be had; this is the second, last try."""

    leases: Leases[Answer]
    resource: bytes
    scope: bytes
    last: bool = False


@dataclass(slots=True)
class _Reading:
    """One read under way.

    Attributes:
        arrived: when the caller asked, Unix seconds.
        epoch: the library's, before anything was looked up.
        requests: leases still to be acquired, from the narrowest to the widest.
        held: the leases that it holds.
        missing: the places of blocks that could not be had.
    """

    wanted: Wanted
    arrived: float
    epoch: int
    requests: list[_LeaseRequest]
    held: list[tuple[_LeaseRequest, Lease[Answer]]] = field(default_factory=list)
    missing: set[Place] = field(default_factory=set)


class Engine:
    """Answers reads, and drops what writes may have changed; `leases` are the fleet's, where there is one."""

    def __init__(
        self,
        library: Library,
        upstream: Upstream,
        buckets: Buckets,
        policy: Policy,
        leases: Leases[Pointer] | None = None,
    ) -> None:
        self.library = library
        self.buckets = buckets
        self.policy = policy
        self.leases = leases
        self._origin = Origin(library, upstream, buckets, policy)
        self._lookup = Lookup(library, buckets, policy, self._origin.trial, self._origin.times)
        self._callers: LocalLeases[Answer] = LocalLeases(patience=FOLLOW_SECONDS)
        self.elsewhere: list[Callable[[tuple[str, ...]], Awaitable[None]]] = []
        """Drop clear topics where other keys name them; each has a deadline of its own, and raises nothing."""

    @property
    def trial(self) -> RuleTrial:
        """The trial of the ETag rule at this upstream."""
        return self._origin.trial

    def believed(self, wanted: Wanted) -> Believed:
        """Return what this node believes of the ETag rule for the operation of `wanted`."""
        return self._origin.believed(wanted)

    def asked(self, wanted: Wanted) -> Asked:
        """Return the facts that the decision depends on, as they are now."""
        return self._lookup.asked(wanted)

    def hit(self, wanted: Wanted) -> Cached | None:
        """Return memory's fresh entry, or None, without waiting: the path of nearly every request."""
        return self._lookup.hit(wanted)

    async def read(self, wanted: Wanted) -> Answer:
        """Answer one read; callers that want the same resource at the same time share one call to GitHub.

        Raises:
            UpstreamError: GitHub cannot be reached, and no entry can stand in.
        """
        if cached := self.hit(wanted):
            return cached
        reading = self._reading(wanted)
        step: Step = Wait() if reading.requests else Look()
        answer: Answer | None = None
        cancelled = False
        try:
            while answer is None:
                match step:
                    case Look():
                        step = await self._look(reading)
                    case Wait(plan):
                        step = await self._wait(reading, plan)
                    case Ask(plan):
                        step = Done(await self._ask(wanted, plan))
                    case Done(answer):
                        pass
                    case _:
                        assert_never(step)
        except asyncio.CancelledError:  # when the node stops, say, the waiters must not ask GitHub all at once
            cancelled = True
            raise
        else:
            return answer
        finally:
            await self._end(reading, answer, cancelled=cancelled)

    def _reading(self, wanted: Wanted) -> _Reading:
        epoch = self.library.epoch(wanted.topics, wanted.scope)
        requests: list[_LeaseRequest] = []
        if wanted.oldest == math.inf:  # else another caller's answer may be older than this caller takes
            equal = b"".join((wanted.scope, wanted.credential, b"%d" % epoch))
            requests.append(_LeaseRequest(self._callers, wanted.name + equal, b""))
            # Another scope cannot be given the answer, but can prove it free of charge once it is stored.
            requests.append(_LeaseRequest(self._callers, wanted.name, equal))
            if self.leases is not None:
                seconds = self.policy.acquire_seconds, self.policy.release_seconds
                fleet = GuardedLeases(self.leases, self.library.guard, *seconds)
                requests.append(_LeaseRequest(fleet, wanted.name, wanted.scope))
        return _Reading(wanted, self.policy.clock(), epoch, requests)

    async def _look(self, reading: _Reading) -> Step:
        looked = await self._lookup.look(reading.wanted, reading.epoch, reading.missing)
        return self._next(reading, looked) if isinstance(looked, Plan) else Done(looked)

    def _next(self, reading: _Reading, plan: Plan) -> Step:
        """Acquire the next lease, or ask GitHub; a holder's result is proved without a second try for the lease."""
        if reading.requests and (not reading.requests[0].last or isinstance(plan.decision, Fetch)):
            return Wait(plan)
        return Ask(plan)

    async def _wait(self, reading: _Reading, plan: Plan | None) -> Step:
        request = reading.requests.pop(0)
        local = request.leases is self._callers
        again = request.last or bool(reading.missing)
        lease = await request.leases.acquire(request.resource, request.scope, again=again)
        if isinstance(lease, Freed):
            if lease.result is not None and (answer := coalesced(lease.result, reading.arrived)) is not None:
                return Done(answer)
            if not local and not request.last:
                reading.requests.append(replace(request, last=True))
        else:
            reading.held.append((request, lease))
        if isinstance(lease, Freed) or (local and lease.waited):
            reading.missing.clear()  # another holder is done: it may have stored the block that could not be had
        if plan is None or isinstance(lease, Freed) or lease.waited:
            return Look()
        return self._next(reading, plan)

    async def _end(self, reading: _Reading, answer: Answer | None, *, cancelled: bool) -> None:
        """Release the leases, the widest first."""
        result = shareable(answer) if answer is not None else None
        async with contextlib.AsyncExitStack() as leases:  # each is released, whatever becomes of the others
            for request, lease in reading.held:
                # After a failure equal callers ask one after the other; those of other scopes go on at once.
                if cancelled or (answer is None and not request.scope):
                    leases.push_async_callback(lease.abandon)
                else:
                    leases.push_async_callback(lease.release, result)

    async def wrote(self, drops: tuple[str, ...]) -> None:
        """Drop what a successful write may have changed, here and at the peers, before its answer goes out."""
        names = set(self.library.keyring.topic_names(drops))
        await asyncio.gather(self.library.drop(names), *(drop(drops) for drop in self.elsewhere))

    async def _ask(self, wanted: Wanted, plan: Plan) -> Cached | Forwarded:
        """Ask GitHub; where it fails or refuses, serve the caller's own expired entry if that is allowed."""
        try:
            answer = await self._origin.ask(wanted, plan)
        except UpstreamError:
            if cached := await self._lookup.stand_in(wanted, plan, limited=False):
                return cached
            raise
        if isinstance(answer, Cached):
            return answer
        if answer.limited or answer.forwarded >= 500:
            if cached := await self._lookup.stand_in(wanted, plan, limited=answer.limited):
                await answer.response.close()
                return replace(cached, forwarded=answer.forwarded)
        elif answer.forwarded in (401, 403, *_GONE):
            await self._refused(wanted, answer.forwarded, plan)
        return answer

    async def _refused(self, wanted: Wanted, status: int, plan: Plan) -> None:
        """Drop the scope's entries that GitHub's refusal is about; other scopes keep theirs.

        After a 401 (a revoked credential) all of them; after a 404, 410 or 451 those of the repository, which is gone
        or hidden; after a 403 (a missing permission) the one resource needs a new proof.
        """
        scopes = all_scopes(self.library.keyring, wanted.holder)
        if all(f.pointer.scope not in scopes for f in plan.found):
            return
        for scope in scopes:
            self.library.require_proof(wanted.name, scope)
        if status == 403:
            return
        clear = (writes.ALL,) if status == 401 else writes.drops("DELETE", _root(wanted.read.resource.path))
        topics = set(self.library.keyring.topic_names(clear))
        await asyncio.gather(*(self.library.drop(topics, scope, local=True) for scope in scopes))


def _root(path: str) -> str:
    """Return the path of the repository that `path` is in, else `path`."""
    parts = path.split("/")
    length = {"repos": 4, "repositories": 3}.get(parts[1], len(parts))
    return "/".join(parts[:length])
