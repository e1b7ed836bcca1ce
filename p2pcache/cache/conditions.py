"""Turns candidates into one conditional request, and a 304 into the body it vouches for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from p2pcache.cache.decide import Fetch, Prove
from p2pcache.cache.entry import Block, Pointer
from p2pcache.cache.library import Found, Library, Opened
from p2pcache.cache.wanted import Wanted
from p2pcache.github import etag, links
from p2pcache.github.etag import TagKind
from p2pcache.github.trial import State

_EMPTY = Block(200, (("content-type", "application/json; charset=utf-8"),), etag.EMPTY_LIST)
_ANY = "*"


@dataclass(frozen=True, slots=True)
class Believed:
    """What is believed of the ETag rule for one operation, see `trial.RuleTrial`."""

    state: State = "untested"
    lists: bool = True
    empty_accept: bool | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A body that a 304 may vouch for.

    Attributes:
        pointer: what is said of it; None for the empty list that nobody has seen yet.
        block: the body with its header lines.
        sealed: the block as it is stored, where memory has it.
        given: GitHub gave this scope the body with the pointer's validators; False where that is hearsay.
    """

    pointer: Pointer | None
    block: Block
    sealed: bytes | None = None
    given: bool = False


@dataclass(frozen=True, slots=True)
class Tag:
    """A validator sent, what a 304 to it vouches for, and whether it was computed here by the rule for hashes."""

    text: str
    body: Body
    computed: bool


@dataclass(slots=True)
class ConditionalRequest:
    """One conditional request.

    Attributes:
        tags: sent for bodies that are here, likeliest first.
        since: the body that an ``If-Modified-Since`` stands for; there are no tags then.
        callers: tags that the caller sent: it holds those bodies, this node does not.
        conditions: the header fields.
    """

    tags: list[Tag] = field(default_factory=list)
    since: Body | None = None
    callers: tuple[str, ...] = ()
    conditions: dict[str, str] = field(default_factory=dict)

    def vouched(self, answered: str | None) -> Body | None:
        """The body here that a 304 vouches for, None when it is one of the caller's or cannot be told.

        A 304 carries the ETag of the current representation (RFC 9110 section 15.4.5); GitHub may show it weak, so
        they are compared weakly (section 8.8.3.2). Without one, only a single tag sent is unambiguous.
        """
        if self.since is not None:
            return self.since
        if answered is None:
            return self.tags[0].body if self.tags and not self.callers and self._bodies() == 1 else None
        return next((tag.body for tag in self.tags if etag.weakly_equal(tag.text, answered)), None)

    def callers_own(self, answered: str | None) -> bool:
        """Whether a 304 that vouches for nothing here can only mean what the caller itself holds."""
        if answered is None or not self.tags:
            return bool(self.conditions) and not self.tags
        return any(etag.weakly_equal(tag, answered) for tag in self.callers)

    def list_ignored(self, answered: str | None) -> bool:
        """Whether a body came under a tag that was sent in a list: GitHub should have answered 304."""
        sent = [*(tag.text for tag in self.tags), *self.callers]
        return answered is not None and len(sent) > 1 and any(etag.weakly_equal(tag, answered) for tag in sent)

    def ignored(self, body: bytes) -> bool:
        """Whether a body that arrived is one whose computed tag was sent, alone: GitHub should have answered 304."""
        alone = len(self.tags) + len(self.callers) == 1
        return alone and any(tag.computed and tag.body.block.body == body for tag in self.tags)

    def proves(self) -> bool:
        """Whether a body that somebody was given before is offered."""
        return self.since is not None or any(tag.body.pointer for tag in self.tags)

    def _bodies(self) -> int:
        return len({id(tag.body) for tag in self.tags})


async def prepare(
    wanted: Wanted, decision: Fetch | Prove, found: Sequence[Found], library: Library, believed: Believed
) -> ConditionalRequest:
    """Load the candidates and choose the conditional headers.

    The caller's own validators go along: a 304 that GitHub would have given for nothing must not turn into a charged
    200 on its way through here.

    `found` is what `decision` was made over.
    """
    proof = plain(wanted)
    if _ANY in proof.callers:  # matches whatever there is (RFC 9110 section 13.1.2): nothing could be told apart
        return proof
    candidates = decision.pointers if isinstance(decision, Prove) else ()
    opened = await asyncio.gather(*(library.open(pointer, found) for pointer in candidates))
    # What this node was told by GitHub itself; under `verified` nobody else's word is taken for that.
    ours = [f.pointer for f in found if f.tier is None] if library.verified else [f.pointer for f in found]
    for pointer, block in zip(candidates, opened, strict=True):
        given = pointer.scope == wanted.scope and any(pointer is own for own in ours)
        if block is not None and not _link_may_be_wrong(wanted, pointer, block, given=given):
            _add(proof, wanted, pointer, Body(pointer, block.block, block.sealed, given), believed)
    if believed.state != "given up" and _may_be_empty(wanted, proof):
        empty = Body(None, _EMPTY)
        proof.tags += [Tag(text, empty, computed=True) for text in wanted.tags(_EMPTY, None, believed.empty_accept)]
    if proof.tags:
        if not believed.lists:
            proof.tags, proof.callers = proof.tags[:1], ()
        proof.since = None
        tags = [*(tag.text for tag in proof.tags), *proof.callers]
        proof.conditions = {"if-none-match": ", ".join(dict.fromkeys(tags))}
    elif proof.since and proof.since.pointer and proof.since.pointer.last_modified and not proof.callers:
        proof.conditions = {"if-modified-since": proof.since.pointer.last_modified}
    else:
        proof.since = None
    return proof


def plain(wanted: Wanted) -> ConditionalRequest:
    """Only the caller's own conditions, as it sent them."""
    headers = wanted.request.headers
    callers = etag.parse_tags(headers.get("if-none-match", ""))
    if callers:
        return ConditionalRequest(callers=callers, conditions={"if-none-match": ", ".join(callers)})
    since = headers.get("if-modified-since")
    return ConditionalRequest(conditions={"if-modified-since": since} if since else {})


def _add(proof: ConditionalRequest, wanted: Wanted, pointer: Pointer, body: Body, believed: Believed) -> None:
    """The validators of one candidate, likeliest first.

    GitHub's own, given with the body, is sent only for the scope it gave it to, since it may depend on who asks;
    beside a computed one, as the rule may not be tested yet, or not hold for this operation.
    """
    tags = []
    if believed.state != "given up" and body.block.status == 200:
        # Fewer fields than GitHub hashed could make the rest of them part of a forged body.
        vary = pointer.vary if body.given else None
        tags = [Tag(text, body, computed=True) for text in wanted.tags(body.block, vary, believed.empty_accept)]
    if pointer.etag and (body.given or _names_these_bytes(wanted, pointer.etag, body)):
        own_tag = Tag(pointer.etag, body, computed=False)
        if not any(etag.weakly_equal(tag.text, pointer.etag) for tag in tags):
            tags = [*tags, own_tag] if believed.state == "holds" else [own_tag, *tags]
    proof.tags += tags
    if body.given and wanted.read.dated and not pointer.etag and pointer.last_modified:
        proof.since = body


def _names_these_bytes(wanted: Wanted, tag: str, body: Body) -> bool:
    """Whether a tag is the git object id of a raw file: then it says the same of these bytes to every caller."""
    block = body.block
    return wanted.read.tag is TagKind.BLOB and block.status == 200 and etag.weakly_equal(tag, etag.blob_tag(block.body))


def _link_may_be_wrong(wanted: Wanted, pointer: Pointer, opened: Opened, *, given: bool) -> bool:
    """Whether the ``Link`` that goes with the body matters more than a 304, which says nothing of it, can tell.

    A full last page may have a next one by now. A page of one item is asked for its ``Link`` alone, to count a list
    (PyGithub's ``totalCount``). How many pages there are may depend on who asks, unless the list is that of one
    repository, which GitHub shows or does not show; and where it was not `given` to this scope, it must follow from the
    address, since the maker of that pointer may have lied.
    """
    target = wanted.request.target
    if links.last_full_page(target, pointer.link, opened.block.body):
        return True
    if pointer.link is None:
        return False
    counting = parse_qs(wanted.read.resource.query).get("per_page") == ["1"]
    within = wanted.read.resource.path.startswith(("/repos/", "/repositories/"))
    if counting or (pointer.scope != wanted.scope and not within):
        return True
    return not given and not links.follows(target, pointer.link)


def _may_be_empty(wanted: Wanted, proof: ConditionalRequest) -> bool:
    """Whether to try the tag of ``[]``: on a first page, since an empty later one has a ``Link`` nobody here knows."""
    read = wanted.read
    if not read.listing or read.tag is not TagKind.HASH or proof.since or (proof.conditions and not proof.callers):
        return False
    asked = parse_qs(wanted.read.resource.query)
    first = asked.get("page", ["1"]) == ["1"] and asked.keys().isdisjoint(("after", "before"))
    return first and not any(tag.body.block.body == etag.EMPTY_LIST for tag in proof.tags)
