"""Makes one conditional request of candidates, and finds the body that a 304 vouches for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from p2pcache.cache.decide import Fetch, Prove
from p2pcache.cache.entry import Block, Pointer
from p2pcache.cache.library import Found, Library
from p2pcache.cache.wanted import Wanted
from p2pcache.github import etag, links
from p2pcache.github.etag import TagKind
from p2pcache.github.trial import State

_EMPTY = Block(200, (("content-type", "application/json; charset=utf-8"),), etag.EMPTY_LIST)
_ANY = "*"


@dataclass(frozen=True, slots=True)
class Believed:
    """What this node believes of the ETag rule for one operation, see `trial.RuleTrial`."""

    state: State = "untested"
    lists: bool = True
    empty_accept: bool | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A body that a 304 may vouch for.

    Attributes:
        pointer: its pointer; None for an empty list that no tier has.
        block: the body with its header lines.
        sealed: the sealed block; None where it came from memory.
        given: GitHub gave this scope the body with the pointer's validators; False where only a member claims so.
    """

    pointer: Pointer | None
    block: Block
    sealed: bytes | None = None
    given: bool = False


@dataclass(frozen=True, slots=True)
class Tag:
    """A validator, the body that a 304 to it vouches for, and whether it was computed here by the ETag rule."""

    text: str
    body: Body
    computed: bool


@dataclass(slots=True)
class ConditionalRequest:
    """One conditional request.

    Attributes:
        tags: for bodies that this node has, the likeliest first.
        since: the body that ``If-Modified-Since`` is about; there are no tags then.
        callers: tags that the caller sent: it holds those bodies, this node does not.
        conditions: the header fields to send.
    """

    tags: list[Tag] = field(default_factory=list)
    since: Body | None = None
    callers: tuple[str, ...] = ()
    conditions: dict[str, str] = field(default_factory=dict)

    def vouched(self, answered: str | None) -> Body | None:
        """Return this node's body that a 304 vouches for; None when it is one of the caller's, or unknown.

        A 304 carries the ETag of the current representation (RFC 9110 section 15.4.5); GitHub may show it weak, so
        they are compared weakly (section 8.8.3.2). Without one, only a single tag sent is unambiguous.
        """
        if self.since is not None:
            return self.since
        if answered is None:
            return self.tags[0].body if self.tags and not self.callers and self._bodies() == 1 else None
        return next((tag.body for tag in self.tags if etag.weakly_equal(tag.text, answered)), None)

    def callers_own(self, answered: str | None) -> bool:
        """Return whether a 304 that vouches for no body here can only be about one that the caller holds."""
        if answered is None or not self.tags:
            return bool(self.conditions) and not self.tags
        return any(etag.weakly_equal(tag, answered) for tag in self.callers)

    def list_ignored(self, answered: str | None) -> bool:
        """Return whether GitHub sent a body whose tag was in a list of several: it should have answered 304."""
        sent = [*(tag.text for tag in self.tags), *self.callers]
        return answered is not None and len(sent) > 1 and any(etag.weakly_equal(tag, answered) for tag in sent)

    def ignored(self, body: bytes) -> bool:
        """Return whether GitHub sent a body whose computed tag was sent alone: it should have answered 304."""
        alone = len(self.tags) + len(self.callers) == 1
        return alone and any(tag.computed and tag.body.block.body == body for tag in self.tags)

    def proves(self) -> bool:
        """Return whether a 304 could vouch for a body that some scope was given before."""
        return self.since is not None or any(tag.body.pointer for tag in self.tags)

    def _bodies(self) -> int:
        return len({id(tag.body) for tag in self.tags})


async def prepare(
    wanted: Wanted,
    decision: Fetch | Prove,
    found: Sequence[Found],
    library: Library,
    believed: Believed,
    ends: Callable[[], Awaitable[bool]],
) -> ConditionalRequest:
    """Load the candidates of `decision`, which was made over `found`, and choose the conditional headers.

    `ends` returns whether no page follows the one that is wanted; it is called where that decides.

    The caller's own validators are sent too: a 304 that GitHub gives free of charge must not become a charged 200
    because of the cache.
    """
    proof = plain(wanted)
    if _ANY in proof.callers:  # matches any representation (RFC 9110 section 13.1.2): a 304 would vouch for none
        return proof
    candidates = decision.pointers if isinstance(decision, Prove) else ()
    opened = await asyncio.gather(*(library.open(pointer, found) for pointer in candidates))
    # Pointers with validators from GitHub; under `verified` only memory's are trusted to have them.
    ours = [f.pointer for f in found if f.tier is None] if library.verified else [f.pointer for f in found]
    for pointer, block in zip(candidates, opened, strict=True):
        given = pointer.scope == wanted.scope and any(pointer is own for own in ours)
        if block is None or _link_may_be_wrong(wanted, pointer, given=given):
            continue
        full = links.last_full_page(wanted.request.target, pointer.link, block.block.body)
        if not full or await ends():
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


def of_empty_list(wanted: Wanted, believed: Believed) -> ConditionalRequest:
    """Return a request to which a 304 says that there is nothing."""
    empty = Body(None, _EMPTY)
    tags = [Tag(text, empty, computed=True) for text in wanted.tags(_EMPTY, None, believed.empty_accept)]
    if not believed.lists:
        tags = tags[:1]
    return ConditionalRequest(tags, conditions={"if-none-match": ", ".join(tag.text for tag in tags)})


def plain(wanted: Wanted) -> ConditionalRequest:
    """Return a request with the caller's own conditions alone, as it sent them."""
    headers = wanted.request.headers
    callers = etag.parse_tags(headers.get("if-none-match", ""))
    if callers:
        return ConditionalRequest(callers=callers, conditions={"if-none-match": ", ".join(callers)})
    since = headers.get("if-modified-since")
    return ConditionalRequest(conditions={"if-modified-since": since} if since else {})


def _add(proof: ConditionalRequest, wanted: Wanted, pointer: Pointer, body: Body, believed: Believed) -> None:
    """Add the validators of one candidate, the likeliest first.

    GitHub's own tag is sent only for the scope that it was given to, since it may depend on the credential; beside a
    computed one, as the rule may not be tested yet, or not hold for this operation.
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
    """Return whether a tag is the git object id of a raw file, which is the same for every caller."""
    block = body.block
    return wanted.read.tag is TagKind.BLOB and block.status == 200 and etag.weakly_equal(tag, etag.blob_tag(block.body))


def _link_may_be_wrong(wanted: Wanted, pointer: Pointer, *, given: bool) -> bool:
    """Return whether the body's ``Link``, which a 304 does not vouch for, may be wrong for this caller.

    A page of one item is read for its ``Link`` alone, to count a list
    (PyGithub's ``totalCount``). The number of pages may depend on the credential, unless the list is that of one
    repository, which GitHub shows whole or not at all. Where it was not `given` to this scope, it must follow from the
    address, since the member that made the pointer may have lied.
    """
    if pointer.link is None:
        return False
    counting = parse_qs(wanted.read.resource.query).get("per_page") == ["1"]
    within = wanted.read.resource.path.startswith(("/repos/", "/repositories/"))
    if counting or (pointer.scope != wanted.scope and not within):
        return True
    return not given and not links.follows(wanted.request.target, pointer.link)


def _may_be_empty(wanted: Wanted, proof: ConditionalRequest) -> bool:
    """Return whether to try the tag of ``[]``: only on a first page, since the ``Link`` of a later one is unknown."""
    read = wanted.read
    if not read.listing or read.tag is not TagKind.HASH or proof.since or (proof.conditions and not proof.callers):
        return False
    asked = parse_qs(wanted.read.resource.query)
    first = asked.get("page", ["1"]) == ["1"] and asked.keys().isdisjoint(("after", "before"))
    return first and not any(tag.body.block.body == etag.EMPTY_LIST for tag in proof.tags)
