"""Asks GitHub, and makes of its answer what the cache may do with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from p2pcache.cache.answer import Cached, Forwarded
from p2pcache.cache.buckets import Buckets
from p2pcache.cache.conditions import Believed, Body, ConditionalRequest, Tag, plain, prepare
from p2pcache.cache.decide import UNPROVEN, Fetch, Prove, Rule
from p2pcache.cache.entry import Block, Entry, Pointer
from p2pcache.cache.library import Found, Library
from p2pcache.cache.upstream import Response, Upstream, UpstreamError
from p2pcache.cache.wanted import Wanted
from p2pcache.clock import unix_time
from p2pcache.github import graphql
from p2pcache.github.etag import Vary, is_digest, vary_of, weakly_equal
from p2pcache.github.headers import KEPT, may_be_fresh
from p2pcache.github.request import Lifetime
from p2pcache.github.trial import RuleTrial

KEPT_STATUSES = (200, 301)
MAX_BODY = 8 << 20
"""Bytes; a longer answer is streamed through and not kept."""
MAX_ERROR_BODY = 64 << 10


@dataclass(slots=True)
class Policy:
    """What the cache may do, and what it tells the node of.

    Attributes:
        lifetimes: seconds per class.
        node: gives this node's peer id, put into the pointers it makes; empty until it has one.
        clock: Unix seconds.
        monotonic: seconds that no change of the clock touches.
        rule_failed: called with the shape for which the ETag rule is given up, see `trial.RuleTrial`.
        acquire_seconds, release_seconds: how long the fleet's leases may take, above what they promise themselves.
    """

    lifetimes: Mapping[Lifetime, float]
    node: Callable[[], str] = lambda: ""
    clock: Callable[[], float] = unix_time
    monotonic: Callable[[], float] = time.monotonic
    rule_failed: Callable[[str], None] = lambda _: None
    acquire_seconds: float = 45.0
    release_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """To ask GitHub: the decision, what it was made over, and the library's epoch before any of it was looked up."""

    decision: Fetch | Prove
    found: Sequence[Found]
    epoch: int


@dataclass(slots=True)
class _Asked:
    """One request under way. `at` is when it was sent, in Unix seconds: nobody knows how much later GitHub looked."""

    wanted: Wanted
    rule: Rule
    proof: ConditionalRequest
    epoch: int
    at: float
    started: float


class Origin:
    """GitHub, as the cache sees it."""

    def __init__(self, library: Library, upstream: Upstream, buckets: Buckets, policy: Policy) -> None:
        self.trial = RuleTrial()
        self._library = library
        self._upstream = upstream
        self._buckets = buckets
        self._policy = policy

    async def ask(self, wanted: Wanted, plan: Plan) -> Cached | Forwarded:
        """One answer of GitHub's, kept when it may be kept; a `Forwarded` without body is the caller's to close.

        Raises:
            UpstreamError: no answer, or one that breaks off or makes no sense.
        """
        proof = await prepare(wanted, plan.decision, plan.found, self._library, self.believed(wanted))
        rule = plan.decision.rule
        if isinstance(plan.decision, Prove) and not proof.proves():
            rule = Rule.FETCH_UNPROVABLE
        answer = await self._ask(wanted, rule, proof, plan.epoch)
        if answer is None:
            # Which of the tags GitHub meant cannot be told: ask again with none of ours.
            answer = await self._ask(wanted, Rule.FETCH_UNPROVABLE, plain(wanted), plan.epoch)
        if answer is None:
            raise UpstreamError("GitHub answered 304 to a request without conditions")
        return answer

    def believed(self, wanted: Wanted) -> Believed:
        """What is believed of the ETag rule for what is wanted."""
        state = self.trial.state(wanted.read.shape, self._policy.monotonic())
        return Believed(state, self.trial.lists, self.trial.empty_accept)

    async def _ask(
        self, wanted: Wanted, rule: Rule, proof: ConditionalRequest, epoch: int
    ) -> Cached | Forwarded | None:
        asked = _Asked(wanted, rule, proof, epoch, self._policy.clock(), time.perf_counter())
        response = await self._upstream.fetch(wanted.request, proof.conditions)
        answer: Cached | Forwarded | None = None
        try:
            self._buckets.observe(wanted.bucket, response.headers)
            answer = await self._settle(asked, response)
        finally:
            if not (isinstance(answer, Forwarded) and answer.body is None):
                await response.close()
        return answer

    async def _settle(self, asked: _Asked, response: Response) -> Cached | Forwarded | None:
        """None for a 304 that cannot be understood."""
        if response.status == 304:
            given = response.headers.get("etag")
            if (proved := asked.proof.vouched(given)) is not None:
                return await self._renew(asked, proved, response)
            return Forwarded(response, b"", asked.rule, 304) if asked.proof.callers_own(given) else None
        if response.status in KEPT_STATUSES:
            return await self._take(asked, response)
        body = await response.read(MAX_ERROR_BODY)
        limited = self._buckets.refused(asked.wanted.bucket, response.status, response.headers, body or b"")
        return Forwarded(response, body, asked.rule, response.status, limited=limited)

    async def _take(self, asked: _Asked, response: Response) -> Cached | Forwarded:
        """A new body: keep it when it may be kept."""
        wanted = asked.wanted
        body = await response.read(MAX_BODY)
        if body is None:
            return Forwarded(response, None, asked.rule, response.status)
        cost = round((time.perf_counter() - asked.started) * 1000)
        if response.status == 200:
            self._try_rule(asked, response, Block(response.status, _kept(response), body))
        if wanted.read.resource.digest and not graphql.keepable(body):
            limited = self._buckets.refused(wanted.bucket, response.status, response.headers, body)
            return Forwarded(response, body, asked.rule, response.status, limited=limited)
        provable = "etag" in response.headers or "last-modified" in response.headers
        if "no-store" in response.headers.get("cache-control", "").lower() or not (provable or _fresh(asked, response)):
            return Forwarded(response, body, asked.rule, response.status)
        block = Block(response.status, _kept(response), body)
        cid, sealed = await self._library.seal(block)
        pointer = self._pointer(asked, response, cid=cid, size=len(sealed), cost_ms=cost)
        kept = Cached(Entry(pointer, block), asked.rule, None, response.status, pairs=tuple(response.pairs))
        return self._keep(asked, kept, sealed)

    async def _renew(self, asked: _Asked, proved: Body, response: Response) -> Cached:
        """A 304: the body is current, and this caller may read exactly these bytes. No block moves.

        Validators come from the 304, else from the pointer before it (RFC 9111 section 4.3.4) where GitHub gave those.
        """
        tag = _sent(asked.proof, proved, response.headers.get("etag"))
        block, old = proved.block, proved.pointer
        before = old if proved.given else None
        if tag is not None and tag.computed:
            self._observe(asked, agrees=True)
            vary = vary_of(response.headers) or (before.vary if before else None)
            self._learn_empty_accept(asked.wanted, block, vary, tag.text)
        block = _told(block, response)
        # Sealed anew where memory had it: another zlib than the one of who sealed it first makes another block of it.
        if old and proved.sealed and block is proved.block:
            cid, sealed = old.cid, proved.sealed
        else:
            cid, sealed = await self._library.seal(block)
        pointer = self._pointer(
            asked,
            response,
            cid=cid,
            size=len(sealed),
            cost_ms=old.cost_ms if old else 0,
            etag=tag.text if tag else before.etag if before else None,
            last_modified=before.last_modified if before else None,
            link=old.link if old else None,
            vary=before.vary if before else None,
        )
        rule = asked.rule if old else Rule.PROVE_EMPTY
        return self._keep(asked, Cached(Entry(pointer, block), rule, "revalidated", 304), sealed)

    def _pointer(
        self,
        asked: _Asked,
        response: Response,
        *,
        cid: bytes,
        size: int,
        cost_ms: int,
        etag: str | None = None,
        last_modified: str | None = None,
        link: str | None = None,
        vary: Vary | None = None,
    ) -> Pointer:
        wanted, headers = asked.wanted, response.headers
        return Pointer(
            name=wanted.name,
            scope=wanted.scope,
            cid=cid,
            etag=headers.get("etag", etag),
            last_modified=headers.get("last-modified", last_modified),
            link=headers.get("link", link),
            lifetime=wanted.read.lifetime.value,
            proved_at=asked.at,
            expires_at=asked.at + self._policy.lifetimes[wanted.read.lifetime] if _fresh(asked, response) else UNPROVEN,
            cost_ms=cost_ms,
            size=size,
            by=self._policy.node(),
            topics=wanted.topics,
            vary=vary_of(headers) if "vary" in headers else vary,
        )

    def _keep(self, asked: _Asked, kept: Cached, sealed: bytes) -> Cached:
        wanted = asked.wanted
        if self._library.epoch(wanted.topics, wanted.scope) == asked.epoch:
            self._library.keep(kept.entry, sealed)
            return replace(kept, stored=True)
        kept.entry.alive = False  # a write overtook this answer: it goes to who asked before, and to nobody else
        return kept

    def _try_rule(self, asked: _Asked, response: Response, block: Block) -> None:
        """Hold the rule against an answer that has a tag of its form; a tag that was sent for nothing speaks too."""
        given, wanted = response.headers.get("etag"), asked.wanted
        if asked.proof.list_ignored(given):
            self.trial.lists = False
        if given is None or not is_digest(given):
            return
        tags = wanted.tags(block, vary_of(response.headers), None)
        if not tags:
            return
        agrees = any(weakly_equal(tag, given) for tag in tags) and not asked.proof.ignored(block.body)
        self._observe(asked, agrees=agrees)
        self._learn_empty_accept(wanted, block, vary_of(response.headers), given)

    def _observe(self, asked: _Asked, *, agrees: bool) -> None:
        shape = asked.wanted.read.shape
        if self.trial.observe(shape, self._policy.monotonic(), agrees=agrees):
            self._policy.rule_failed(shape)

    def _learn_empty_accept(self, wanted: Wanted, block: Block, vary: Vary | None, given: str) -> None:
        """Where both forms of a tag are possible, which one GitHub gave."""
        tags = wanted.tags(block, vary, None)
        if len(tags) > 1 and self.trial.empty_accept is None:
            form = next((at for at, tag in enumerate(tags) if weakly_equal(tag, given)), None)
            self.trial.empty_accept = None if form is None else form == 0


def _fresh(asked: _Asked, response: Response) -> bool:
    """GraphQL says no-cache of everything: it is kept for its short lifetime all the same, or not at all."""
    return bool(asked.wanted.read.resource.digest) or may_be_fresh(response.headers)


def _sent(proof: ConditionalRequest, body: Body, answered: str | None) -> Tag | None:
    """The tag by which a 304 vouched for `body`; None when that was a date, or cannot be told."""
    tags = [tag for tag in proof.tags if tag.body is body]
    if answered is not None:
        return next((tag for tag in tags if weakly_equal(tag.text, answered)), None)
    return tags[0] if len(tags) == 1 else None


def _kept(response: Response) -> tuple[tuple[str, str], ...]:
    """The lines to keep; ``Location`` means something on a redirect alone."""
    redirect = response.status == 301
    return tuple((name, value) for name, value in response.pairs if name in KEPT and (redirect or name != "location"))


def _told(block: Block, response: Response) -> Block:
    """A block with the fields that the 304 has: they go before those of another day or maker (RFC 9111 section 3.2)."""
    before = dict(block.headers)
    headers = before | dict(_kept(response))
    return block if headers == before else Block(block.status, tuple(headers.items()), block.body)
