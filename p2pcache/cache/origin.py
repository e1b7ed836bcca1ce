"""Asks GitHub, and stores of its answers what may be stored."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from p2pcache.cache.answer import Cached, Forwarded
from p2pcache.cache.buckets import Buckets
from p2pcache.cache.conditions import Believed, Body, ConditionalRequest, Tag, of_empty_list, plain, prepare
from p2pcache.cache.decide import UNPROVEN, Fetch, Prove, Rule
from p2pcache.cache.entry import Block, Entry, Pointer
from p2pcache.cache.library import Found, Library
from p2pcache.cache.upstream import Response, Upstream, UpstreamError
from p2pcache.cache.upstream_times import UpstreamTimes
from p2pcache.cache.wanted import Wanted, another
from p2pcache.clock import unix_time
from p2pcache.github import graphql, links
from p2pcache.github.etag import EMPTY_LIST, TagKind, Vary, is_digest, vary_of, weakly_equal
from p2pcache.github.headers import KEPT, may_be_fresh
from p2pcache.github.request import Lifetime
from p2pcache.github.trial import RuleTrial

KEPT_STATUSES = (200, 301)
MAX_BODY = 8 << 20
"""Bytes; a longer answer is streamed to the caller and not kept."""
MAX_ERROR_BODY = 64 << 10


@dataclass(slots=True)
class Policy:
    """The cache's limits, and what it gets from the node.

    Attributes:
        lifetimes: seconds per class.
        node: returns this node's peer id, for the pointers it makes; empty until it has one.
        clock: Unix seconds.
        monotonic: seconds that no change of the clock touches.
        rule_failed: called with the shape for which the ETag rule is given up, see `trial.RuleTrial`.
        acquire_seconds, release_seconds: deadlines for the fleet's leases, above their own.
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
    """A call to make: the decision, the pointers it was made over, and the library's epoch before the look-up."""

    decision: Fetch | Prove
    found: Sequence[Found]
    epoch: int


@dataclass(slots=True)
class _Call:
    """One request to GitHub. `at` is when it was sent, in Unix seconds: how much later GitHub read is unknown."""

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
        self.times = UpstreamTimes()
        self._library = library
        self._upstream = upstream
        self._buckets = buckets
        self._policy = policy

    async def ask(self, wanted: Wanted, plan: Plan) -> Cached | Forwarded:
        """Ask GitHub and store the answer where it may be; the receiver closes a `Forwarded` without body.

        Raises:
            UpstreamError: no answer, or one that breaks off or makes no sense.
        """
        ends = functools.cache(lambda: asyncio.ensure_future(self._ends(wanted, plan.epoch)))
        at = self._policy.clock()
        proof = await prepare(wanted, plan.decision, plan.found, self._library, self.believed(wanted), ends)
        rule = plan.decision.rule
        if isinstance(plan.decision, Prove) and not proof.proves():
            rule = Rule.FETCH_UNPROVABLE
        answer = await self._ask(wanted, rule, proof, plan.epoch, at)
        if answer is None:
            # It is unknown which of the tags the 304 is about: ask again with none of this node's.
            answer = await self._ask(wanted, Rule.FETCH_UNPROVABLE, plain(wanted), plan.epoch)
        if answer is None:
            raise UpstreamError("GitHub answered 304 to a request without conditions")
        return answer

    def believed(self, wanted: Wanted) -> Believed:
        """Return what this node believes of the ETag rule for the operation of `wanted`."""
        state = self.trial.state(wanted.read.shape, self._policy.monotonic())
        return Believed(state, self.trial.lists, self.trial.empty_accept)

    async def _ends(self, wanted: Wanted, epoch: int) -> bool:
        """Ask whether a page follows a full one, with the tag of an empty list: free of charge where none does.

        Where one does, it is kept: a caller that reads the list to its end wants it next.
        """
        believed = self.believed(wanted)
        target = links.next_page(wanted.request.target)
        sure = believed.state == "holds" and wanted.authorised and wanted.read.listing
        if not (sure and target and wanted.read.tag is TagKind.HASH):
            return False
        following = another(self._library.keyring, wanted, target)
        try:
            answer = await self._ask(following, Rule.PROVE_EMPTY, of_empty_list(following, believed), epoch)
        except UpstreamError:
            return False
        if isinstance(answer, Forwarded):
            await answer.response.close()
        return isinstance(answer, Cached) and answer.entry.block.body == EMPTY_LIST

    async def _ask(
        self, wanted: Wanted, rule: Rule, proof: ConditionalRequest, epoch: int, at: float | None = None
    ) -> Cached | Forwarded | None:
        began = self._policy.clock() if at is None else at
        call = _Call(wanted, rule, proof, epoch, began, time.perf_counter())
        response = await self._upstream.fetch(wanted.request, proof.conditions)
        answer: Cached | Forwarded | None = None
        self.times.observe(wanted.read.shape, time.perf_counter() - call.started)
        try:
            self._buckets.observe(wanted.bucket, response.headers)
            answer = await self._settle(call, response)
        finally:
            if not (isinstance(answer, Forwarded) and answer.body is None):
                await response.close()
        return answer

    async def _settle(self, call: _Call, response: Response) -> Cached | Forwarded | None:
        """Make the answer of a response; None for a 304 of which it is unknown what it vouches for."""
        if response.status == 304:
            given = response.headers.get("etag")
            if (proved := call.proof.vouched(given)) is not None:
                return await self._renew(call, proved, response)
            return Forwarded(response, b"", call.rule, 304) if call.proof.callers_own(given) else None
        if response.status in KEPT_STATUSES:
            return await self._take(call, response)
        body = await response.read(MAX_ERROR_BODY)
        limited = self._buckets.refused(call.wanted.bucket, response.status, response.headers, body or b"")
        return Forwarded(response, body, call.rule, response.status, limited=limited)

    async def _take(self, call: _Call, response: Response) -> Cached | Forwarded:
        """Take a new body, and store it where it may be."""
        wanted = call.wanted
        body = await response.read(MAX_BODY)
        if body is None:
            return Forwarded(response, None, call.rule, response.status)
        cost = round((time.perf_counter() - call.started) * 1000)
        if response.status == 200:
            self._try_rule(call, response, Block(response.status, _stored_headers(response), body))
        if wanted.read.resource.digest and not graphql.keepable(body):
            limited = self._buckets.refused(wanted.bucket, response.status, response.headers, body)
            return Forwarded(response, body, call.rule, response.status, limited=limited)
        provable = "etag" in response.headers or "last-modified" in response.headers
        if "no-store" in response.headers.get("cache-control", "").lower() or not (provable or _fresh(call, response)):
            return Forwarded(response, body, call.rule, response.status)
        block = Block(response.status, _stored_headers(response), body)
        cid, sealed = await self._library.seal(block)
        pointer = self._pointer(call, response, cid=cid, size=len(sealed), cost_ms=cost)
        cached = Cached(Entry(pointer, block), call.rule, None, response.status, pairs=tuple(response.pairs))
        return self._keep(call, cached, sealed)

    async def _renew(self, call: _Call, proved: Body, response: Response) -> Cached:
        """Take a 304: the body is current, and this caller may read exactly these bytes. No block moves.

        Validators come from the 304, else from the old pointer (RFC 9111 section 4.3.4) where GitHub gave those.
        """
        tag = _proving_tag(call.proof, proved, response.headers.get("etag"))
        block, old = proved.block, proved.pointer
        before = old if proved.given else None
        if tag is not None and tag.computed:
            self._observe(call, agrees=True)
            vary = vary_of(response.headers) or (before.vary if before else None)
            self._learn_empty_accept(call.wanted, block, vary, tag.text)
        block = _updated(block, response)
        # Sealed anew where memory had it, which may make another block: another node's zlib may have compressed it. And
        # in a rotation: the nodes that will have the new secret alone could not open what an older one sealed.
        if old and proved.sealed and block is proved.block and self._library.keyring.sealed_first(proved.sealed):
            cid, sealed = old.cid, proved.sealed
        else:
            cid, sealed = await self._library.seal(block)
        pointer = self._pointer(
            call,
            response,
            cid=cid,
            size=len(sealed),
            cost_ms=old.cost_ms if old else 0,
            etag=tag.text if tag else before.etag if before else None,
            last_modified=before.last_modified if before else None,
            link=old.link if old else None,
            vary=before.vary if before else None,
        )
        rule = call.rule if old else Rule.PROVE_EMPTY
        return self._keep(call, Cached(Entry(pointer, block), rule, "revalidated", 304), sealed)

    def _pointer(
        self,
        call: _Call,
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
        wanted, headers = call.wanted, response.headers
        return Pointer(
            name=wanted.name,
            scope=wanted.scope,
            cid=cid,
            etag=headers.get("etag", etag),
            last_modified=headers.get("last-modified", last_modified),
            link=headers.get("link", link),
            lifetime=wanted.read.lifetime.value,
            proved_at=call.at,
            expires_at=call.at + self._policy.lifetimes[wanted.read.lifetime] if _fresh(call, response) else UNPROVEN,
            cost_ms=cost_ms,
            size=size,
            by=self._policy.node(),
            topics=wanted.topics,
            vary=vary_of(headers) if "vary" in headers else vary,
        )

    def _keep(self, call: _Call, cached: Cached, sealed: bytes) -> Cached:
        wanted = call.wanted
        if self._library.epoch(wanted.topics, wanted.scope) == call.epoch:
            self._library.keep(cached.entry, sealed)
            return replace(cached, stored=True)
        cached.entry.alive = False  # a write overtook this answer: only callers that asked before it may have it
        return cached

    def _try_rule(self, call: _Call, response: Response, block: Block) -> None:
        """Test the rule on an answer whose tag is a digest; a tag that was sent and ignored counts against it."""
        given, wanted = response.headers.get("etag"), call.wanted
        if call.proof.list_ignored(given):
            self.trial.lists = False
        if given is None or not is_digest(given):
            return
        tags = wanted.tags(block, vary_of(response.headers), None)
        if not tags:
            return
        agrees = any(weakly_equal(tag, given) for tag in tags) and not call.proof.ignored(block.body)
        self._observe(call, agrees=agrees)
        self._learn_empty_accept(wanted, block, vary_of(response.headers), given)

    def _observe(self, call: _Call, *, agrees: bool) -> None:
        shape = call.wanted.read.shape
        if self.trial.observe(shape, self._policy.monotonic(), agrees=agrees):
            self._policy.rule_failed(shape)

    def _learn_empty_accept(self, wanted: Wanted, block: Block, vary: Vary | None, given: str) -> None:
        """Learn which form GitHub gave where an empty `Accept` makes two forms of a tag possible."""
        tags = wanted.tags(block, vary, None)
        if len(tags) > 1 and self.trial.empty_accept is None:
            form = next((at for at, tag in enumerate(tags) if weakly_equal(tag, given)), None)
            self.trial.empty_accept = None if form is None else form == 0


def _fresh(call: _Call, response: Response) -> bool:
    """Return whether an answer may be fresh; GraphQL's may: GitHub marks all of them no-cache, and none is provable."""
    return bool(call.wanted.read.resource.digest) or may_be_fresh(response.headers)


def _proving_tag(proof: ConditionalRequest, body: Body, answered: str | None) -> Tag | None:
    """Return the tag by which a 304 vouched for `body`; None when that was a date, or is unknown."""
    tags = [tag for tag in proof.tags if tag.body is body]
    if answered is not None:
        return next((tag for tag in tags if weakly_equal(tag.text, answered)), None)
    return tags[0] if len(tags) == 1 else None


def _stored_headers(response: Response) -> tuple[tuple[str, str], ...]:
    """Return the header lines to store; ``Location`` has a meaning on a redirect alone."""
    redirect = response.status == 301
    return tuple((name, value) for name, value in response.pairs if name in KEPT and (redirect or name != "location"))


def _updated(block: Block, response: Response) -> Block:
    """Return `block` with the header fields of the 304, which replace older ones (RFC 9111 section 3.2)."""
    before = dict(block.headers)
    headers = before | dict(_stored_headers(response))
    return block if headers == before else Block(block.status, tuple(headers.items()), block.body)
