"""Carries a decision out: one loop over `decide`, with the tiers on one side and GitHub on the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from p2pcache.cache import decide as rules
from p2pcache.cache.answer import Answer, Kept, Passed, Refused
from p2pcache.cache.buckets import Buckets
from p2pcache.cache.decide import Asked, Fetch, Prove, Refuse, Rule, Serve
from p2pcache.cache.entry import Block, Entry, Pointer
from p2pcache.cache.flight import Flights
from p2pcache.cache.library import Found, Library
from p2pcache.cache.proof import Proof, prepare
from p2pcache.cache.tiers import Lease, Leases
from p2pcache.cache.upstream import Response, Upstream, UpstreamError
from p2pcache.cache.wanted import Wanted
from p2pcache.github import etag, graphql, quota, writes
from p2pcache.github.etag import RuleTrial
from p2pcache.github.headers import KEPT
from p2pcache.github.request import Lifetime

KEPT_STATUSES = (200, 301)
MAX_BODY = 8 << 20
"""Bytes; a longer answer is streamed through and not kept."""
MAX_ERROR_BODY = 64 << 10
FOLLOW_SECONDS = 30.0


@dataclass(slots=True)
class Policy:
    """What the engine may do, and what it tells the node of.

    Attributes:
        lifetimes: seconds per class.
        node: this node's peer id, put into the pointers it makes.
        clock: Unix seconds.
        rule_failed: called once when the ETag rule is seen not to hold upstream.
    """

    lifetimes: Mapping[Lifetime, float]
    node: str = ""
    clock: Callable[[], float] = time.time
    rule_failed: Callable[[], None] = lambda: None


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
        self.trial = RuleTrial()
        self.policy = policy
        self.leases = leases
        self._upstream = upstream
        self._flights: Flights[Answer] = Flights(patience=FOLLOW_SECONDS)

    def asked(self, wanted: Wanted) -> Asked:
        """The facts the decision depends on, now."""
        advice = self.buckets.advice(wanted.bucket, wanted.quota)
        return Asked(
            scope=wanted.scope,
            now=self.policy.clock(),
            computed_tags=self.trial.usable,
            validators=not wanted.read.resource.digest,
            stretch=advice.stretch,
            serve_stale=advice.serve_stale,
            refuse=advice.refuse,
            wait=self.buckets.wait_until(wanted.bucket) is not None,
        )

    def hit(self, wanted: Wanted) -> Kept | None:
        """Memory alone, without waiting: the way of nearly every request."""
        entry = self.library.memory.get((wanted.name, wanted.scope))
        if entry is None or not entry.pointer.fresh(self.policy.clock()):
            return None
        return Kept(entry, Rule.FRESH, "memory")

    async def read(self, wanted: Wanted) -> Answer:
        """One answer for one read; callers who want the same thing at the same time share the work.

        Raises:
            UpstreamError: GitHub cannot be reached and nothing can stand in.
        """
        if kept := self.hit(wanted):
            return kept
        epoch = self.library.epoch(wanted.topics)
        key = (wanted.name, wanted.scope, wanted.credential, epoch)
        landed = await self._flights.run(key, lambda: self._lead(wanted, epoch))
        answer = landed.value
        if landed.led:
            return answer
        if isinstance(answer, Kept):
            return replace(answer, hit="coalesced", forwarded=None, stored=False)
        if isinstance(answer, Passed):
            if answer.body is None:  # a stream has one reader only
                return await self._lead(wanted, epoch)
            return replace(answer, shared=True)
        return answer

    async def _lead(self, wanted: Wanted, epoch: int) -> Answer:
        lease: Lease | None = None
        may_wait = self.leases is not None
        gone: set[bytes] = set()
        pointer: Pointer | None = None
        try:
            while True:
                asked = self.asked(wanted)
                found = [
                    f
                    for f in await self.library.find(wanted.name, wanted.scope, asked.now)
                    if f.pointer.cid not in gone
                ]
                decision = rules.decide(asked, [f.pointer for f in found])
                if isinstance(decision, Serve):
                    if kept := await self._serve(decision, found):
                        return kept
                    gone.add(decision.pointer.cid)
                    continue
                if isinstance(decision, Refuse):
                    return self._refuse(wanted, decision)
                if may_wait and self.leases is not None:
                    # One call for the fleet: when it is our turn, another node may have been there before us.
                    may_wait = False
                    lease = await self.leases.acquire(wanted.name, wanted.scope)
                    continue
                answer = await self._ask(wanted, decision, found, epoch)
                pointer = answer.entry.pointer if isinstance(answer, Kept) else None
                return answer
        finally:
            if lease is not None:
                await lease.release(pointer)

    async def _serve(self, decision: Serve, found: list[Found]) -> Kept | None:
        opened = await self.library.open(decision.pointer, found)
        if opened is None:
            return None
        block, tier = opened
        entry = Entry(decision.pointer, block)
        if tier != "memory":
            self.library.keep(entry, self.library.seal(block)[1], besides=tier)
        elif (held := self.library.memory.get(entry.key)) is not None and held.pointer == decision.pointer:
            entry = held
        return Kept(entry, decision.rule, "stale" if decision.stale else tier, stale=decision.stale)

    def _refuse(self, wanted: Wanted, decision: Refuse) -> Refused:
        now = self.policy.clock()
        until = self.buckets.wait_until(wanted.bucket)
        bucket = self.buckets.get(wanted.bucket, wanted.quota)
        if until is not None or bucket is None:
            status, headers, body = quota.wait_refusal(until or now + 1, now)
        else:
            status, headers, body = quota.refusal(bucket, now)
        return Refused(status, tuple(headers), body, decision.rule)

    async def _ask(self, wanted: Wanted, decision: Fetch | Prove, found: list[Found], epoch: int) -> Answer:
        """Ask GitHub; its refusal to answer is covered by the caller's own expired entry where that is allowed."""
        proof = await prepare(wanted, decision, found, self.library, computed=self.trial.usable)
        started = time.perf_counter()
        try:
            response = await self._upstream.fetch(wanted.request, proof.conditions)
        except UpstreamError:
            if kept := await self._stand_in(wanted, found):
                return kept
            raise
        try:
            answer = await self._settle(wanted, decision, proof, response, found, epoch, started)
        except BaseException:
            await response.close()
            raise
        if not (isinstance(answer, Passed) and answer.body is None):
            await response.close()
        return answer

    async def _settle(
        self,
        wanted: Wanted,
        decision: Fetch | Prove,
        proof: Proof,
        response: Response,
        found: list[Found],
        epoch: int,
        started: float,
    ) -> Answer:
        status = response.status
        self.buckets.observe(wanted.bucket, response.headers)
        if status == 304:
            proved = proof.vouched(response.headers.get("etag"))
            if proved is not None:
                return self._renew(wanted, decision, proved, response, epoch)
            if proof.callers_own(response.headers.get("etag")):
                return Passed(response, b"", decision.rule, status)
            # Nobody can tell what was vouched for: ask again without conditions.
            return await self._ask(wanted, Fetch(Rule.FETCH_UNPROVABLE), [], epoch)
        if status in KEPT_STATUSES:
            return await self._take(wanted, decision, response, epoch, started)
        body = await response.read(MAX_ERROR_BODY)
        limited = self.buckets.refused(wanted.bucket, status, response.headers, body or b"")
        if (limited or status >= 500) and (kept := await self._stand_in(wanted, found)):
            return replace(kept, forwarded=status)
        if status in (401, 403, 404) and not limited:
            await self._revoke(wanted, found)
        return Passed(response, body, decision.rule, status)

    async def _take(
        self, wanted: Wanted, decision: Fetch | Prove, response: Response, epoch: int, started: float
    ) -> Answer:
        """A new body: keep it when it may be kept."""
        body = await response.read(MAX_BODY)
        if body is None:
            return Passed(response, None, decision.rule, response.status)
        cost = round((time.perf_counter() - started) * 1000)
        given = response.headers.get("etag")
        if response.status == 200 and given and self.trial.observe(given, wanted.tag(body)):
            self.policy.rule_failed()
        if not self._keepable(wanted, response, body):
            return Passed(response, body, decision.rule, response.status)
        headers = tuple((name, value) for name, value in response.pairs if name in KEPT)
        block = Block(response.status, headers, body)
        cid, sealed = await self._seal(block)
        pointer = self._pointer(wanted, cid, len(sealed), cost, response)
        entry = Entry(pointer, block)
        self._keep(wanted, entry, sealed, epoch)
        return Kept(entry, decision.rule, None, response.status, stored=True)

    def _renew(
        self, wanted: Wanted, decision: Fetch | Prove, proved: Proof.Body, response: Response, epoch: int
    ) -> Kept:
        """A 304: the body is current, and this caller may read exactly these bytes. No block moves."""
        if proved.pointer is None:  # the empty list, tried blindly
            block = Block(200, (("content-type", "application/json; charset=utf-8"),), etag.EMPTY_LIST)
            cid, sealed = self.library.seal(block)
            pointer = self._pointer(wanted, cid, len(sealed), 0, response)
        else:
            block, old = proved.block, proved.pointer
            sealed = self.library.seal(block)[1]
            pointer = self._pointer(wanted, old.cid, old.size, old.cost_ms, response, link=old.link)
        entry = Entry(pointer, block)
        self._keep(wanted, entry, sealed, epoch)
        rule = decision.rule if proved.pointer else "proof of an empty list"
        return Kept(entry, rule, "revalidated", 304, stored=True)

    def _pointer(
        self, wanted: Wanted, cid: bytes, size: int, cost: int, response: Response, *, link: str | None = None
    ) -> Pointer:
        now = self.policy.clock()
        lifetime = wanted.read.lifetime
        return Pointer(
            name=wanted.name,
            scope=wanted.scope,
            cid=cid,
            etag=response.headers.get("etag"),
            last_modified=response.headers.get("last-modified"),
            link=response.headers.get("link", link),
            lifetime=lifetime.value,
            proved_at=now,
            expires_at=now + self.policy.lifetimes[lifetime],
            cost_ms=cost,
            size=size,
            by=self.policy.node,
            topics=wanted.topics,
        )

    async def _seal(self, block: Block) -> tuple[bytes, bytes]:
        if len(block.body) < 256 << 10:
            return self.library.seal(block)
        return await asyncio.to_thread(self.library.seal, block)

    def _keep(self, wanted: Wanted, entry: Entry, sealed: bytes, epoch: int) -> None:
        if self.library.epoch(wanted.topics) == epoch:
            self.library.keep(entry, sealed)
        else:
            entry.alive = False  # a write overtook this answer: it goes to who asked before, and to nobody else

    def _keepable(self, wanted: Wanted, response: Response, body: bytes) -> bool:
        if "no-store" in response.headers.get("cache-control", ""):
            return False
        return not wanted.read.resource.digest or graphql.keepable(body)

    async def _stand_in(self, wanted: Wanted, found: list[Found]) -> Kept | None:
        stale = rules.on_failure(self.asked(wanted), [f.pointer for f in found])
        return await self._serve(stale, found) if stale else None

    async def _revoke(self, wanted: Wanted, found: list[Found]) -> None:
        """GitHub refuses what it gave before: this scope's entries of the repository go, nobody else's."""
        if any(f.pointer.scope == wanted.scope for f in found):
            clear = writes.drops("DELETE", wanted.read.resource.path)
            topics = {self.library.keyring.topic_name(topic) for topic in clear}
            await self.library.drop(topics | set(wanted.topics), wanted.scope, local=True)

    async def wrote(self, drops: tuple[str, ...]) -> None:
        """A write went through: forget what it may have changed, here and at the peers, before its answer goes out."""
        await self.library.drop({self.library.keyring.topic_name(topic) for topic in drops})
