"""Carries the decision out: looks into the tiers, waits for others that ask the same, and asks GitHub."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace
from typing import assert_never

from p2pcache.cache.answer import Answer, Cached, Forwarded, coalesced, shareable
from p2pcache.cache.buckets import Buckets
from p2pcache.cache.conditions import Believed
from p2pcache.cache.decide import Asked, Fetch
from p2pcache.cache.entry import Pointer
from p2pcache.cache.guard import FleetLine
from p2pcache.cache.leases import LocalLeases
from p2pcache.cache.library import Library, Place
from p2pcache.cache.lookup import Lookup
from p2pcache.cache.origin import Origin, Plan, Policy
from p2pcache.cache.tiers import Freed, Lease, Leases
from p2pcache.cache.upstream import Upstream, UpstreamError
from p2pcache.cache.wanted import Wanted
from p2pcache.github import writes
from p2pcache.github.trial import RuleTrial

__all__ = ["Engine", "Policy"]

FOLLOW_SECONDS = 30.0
"""How long a caller waits for another one of this node that asks GitHub the same, before it asks by itself."""
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
class _Line:
    """Leases to wait for; `last`: what the fleet's holder left was not to be had, this is the second and last try."""

    leases: Leases[Answer]
    resource: bytes
    scope: bytes
    last: bool = False


@dataclass(slots=True)
class _Reading:
    """One read under way.

    Attributes:
        came: when the caller came, Unix seconds.
        epoch: the library's, before anything was looked up.
        lines: leases still to be acquired, from the narrowest to the widest.
        held: those that it holds.
        missing: where blocks should be that could not be had.
    """

    wanted: Wanted
    came: float
    epoch: int
    lines: list[_Line]
    held: list[tuple[_Line, Lease[Answer]]] = field(default_factory=list)
    missing: set[Place] = field(default_factory=set)


class Engine:
    """Answers reads and forgets after writes.

    Args:
        leases: the fleet's, where there is one.
    """

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
        self._lookup = Lookup(library, buckets, policy, self._origin.trial)
        self._callers: LocalLeases[Answer] = LocalLeases(patience=FOLLOW_SECONDS)

    @property
    def trial(self) -> RuleTrial:
        """What is known of the ETag rule at this upstream."""
        return self._origin.trial

    def believed(self, wanted: Wanted) -> Believed:
        """What is believed of the ETag rule for what is wanted."""
        return self._origin.believed(wanted)

    def asked(self, wanted: Wanted) -> Asked:
        """The facts the decision depends on, now."""
        return self._lookup.asked(wanted)

    def hit(self, wanted: Wanted) -> Cached | None:
        """Look into memory alone, without waiting: the way of nearly every request."""
        return self._lookup.hit(wanted)

    async def read(self, wanted: Wanted) -> Answer:
        """One answer for one read; callers who want the same thing at the same time share the work.

        Raises:
            UpstreamError: GitHub cannot be reached and nothing can stand in.
        """
        if cached := self.hit(wanted):
            return cached
        reading = self._reading(wanted)
        step: Step = Wait() if reading.lines else Look()
        answer: Answer | None = None
        undone = False
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
        except asyncio.CancelledError:  # the node stops, say: those that wait are not to ask GitHub all at once
            undone = True
            raise
        else:
            return answer
        finally:
            await self._end(reading, answer, undone=undone)

    def _reading(self, wanted: Wanted) -> _Reading:
        epoch = self.library.epoch(wanted.topics, wanted.scope)
        lines: list[_Line] = []
        if wanted.oldest == math.inf:  # else what others are given, or wait for, may be older than this caller takes
            equal = b"".join((wanted.scope, wanted.credential, b"%d" % epoch))
            lines.append(_Line(self._callers, wanted.name + equal, b""))
            # Another scope cannot be given the answer, but once it is there can prove it free of charge.
            lines.append(_Line(self._callers, wanted.name, equal))
            if self.leases is not None:
                seconds = self.policy.acquire_seconds, self.policy.release_seconds
                lines.append(_Line(FleetLine(self.leases, self.library.guard, *seconds), wanted.name, wanted.scope))
        return _Reading(wanted, self.policy.clock(), epoch, lines)

    async def _look(self, reading: _Reading) -> Step:
        looked = await self._lookup.look(reading.wanted, reading.epoch, reading.missing)
        return self._next(reading, looked) if isinstance(looked, Plan) else Done(looked)

    def _next(self, reading: _Reading, plan: Plan) -> Step:
        """Wait for others that are to ask the same; what a holder left is proved without a second try for the lease."""
        if reading.lines and (not reading.lines[0].last or isinstance(plan.decision, Fetch)):
            return Wait(plan)
        return Ask(plan)

    async def _wait(self, reading: _Reading, plan: Plan | None) -> Step:
        line = reading.lines.pop(0)
        local = line.leases is self._callers
        got = await line.leases.acquire(line.resource, line.scope, again=line.last or bool(reading.missing))
        if isinstance(got, Freed):
            if got.left is not None and (answer := coalesced(got.left, reading.came)) is not None:
                return Done(answer)
            if not local and not line.last:
                reading.lines.append(replace(line, last=True))
        else:
            reading.held.append((line, got))
        if isinstance(got, Freed) or (local and got.waited):
            reading.missing.clear()  # somebody left something: it may well be the block that could not be had before
        if plan is None or isinstance(got, Freed) or got.waited:
            return Look()
        return self._next(reading, plan)

    async def _end(self, reading: _Reading, answer: Answer | None, *, undone: bool) -> None:
        """Give the leases back, the widest first."""
        left = shareable(answer) if answer is not None else None
        for line, lease in reversed(reading.held):
            # Of equal callers one after the other tries what failed; those of other scopes go on at once.
            if undone or (answer is None and not line.scope):
                await lease.abandon()
            else:
                await lease.release(left)

    async def wrote(self, drops: tuple[str, ...]) -> None:
        """A write went through: forget what it may have changed, here and at the peers, before its answer goes out."""
        await self.library.drop(set(self.library.keyring.topic_names(drops)))

    async def _ask(self, wanted: Wanted, plan: Plan) -> Cached | Forwarded:
        """Ask GitHub; where it fails or refuses, the caller's own expired entry stands in if that is allowed."""
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
        """GitHub refuses this scope what it gave before. Nothing of others is touched.

        A credential it does not know any more loses everything; a repository that is gone, or hidden, goes with all
        that is in it; a permission that is missing (403) is missing for this resource.
        """
        if all(f.pointer.scope != wanted.scope for f in plan.found):
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
