"""Turns candidates into one conditional request, and a 304 into the body it vouches for (FACTS section 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from p2pcache.cache import decide as rules
from p2pcache.cache.decide import Fetch, Prove
from p2pcache.cache.entry import Block, Pointer
from p2pcache.cache.library import Found, Library
from p2pcache.cache.wanted import Wanted
from p2pcache.github import etag, links

_NOTHING = Block(200, (), b"")


@dataclass(slots=True)
class Proof:
    """One conditional request: the tags sent and what each would vouch for."""

    @dataclass(frozen=True, slots=True)
    class Body:
        """A body that a 304 may vouch for; `pointer` is None for the empty list nobody has seen yet."""

        pointer: Pointer | None
        block: Block

    tags: list[tuple[str, Body]] = field(default_factory=list)
    since: Body | None = None
    callers: tuple[str, ...] = ()
    conditions: dict[str, str] = field(default_factory=dict)

    def vouched(self, answered: str | None) -> Body | None:
        """The body a 304 vouches for, or None when it is one of the caller's own tags or cannot be told."""
        if self.since is not None:
            return self.since
        sent = [(tag, body.pointer) for tag, body in self.tags]
        if answered is None and self.callers:
            return None
        index = rules.proved_by(sent, answered)
        return None if index is None else self.tags[index][1]

    def callers_own(self, answered: str | None) -> bool:
        """Whether a 304 can only mean the representation that the caller itself holds."""
        if answered is None:
            return bool(self.callers or self.conditions.get("if-modified-since")) and not self.tags
        return any(etag.weakly_equal(tag, answered) for tag in self.callers) or not self.tags


async def prepare(
    wanted: Wanted, decision: Fetch | Prove, found: Sequence[Found], library: Library, *, computed: bool
) -> Proof:
    """Load the candidates and choose the conditional headers.

    The caller's own validators go along when nothing of ours answers for it: a 304 that GitHub would have given
    for nothing must not turn into a charged 200 on its way through here.
    """
    proof = Proof(callers=etag.parse_tags(wanted.request.headers.get("if-none-match", "")))
    if isinstance(decision, Prove):
        for pointer in decision.pointers:
            await _add(proof, wanted, pointer, found, library, computed=computed)
    if computed and wanted.read.listing and not proof.since and not any(b.block.body == b"[]" for _, b in proof.tags):
        proof.tags.append((wanted.tag(etag.EMPTY_LIST), Proof.Body(None, _NOTHING)))
    if proof.tags or proof.callers:
        tags = [tag for tag, _ in proof.tags] + list(proof.callers)
        proof.conditions["if-none-match"] = ", ".join(dict.fromkeys(tags))
        proof.since = None
    elif proof.since and proof.since.pointer and proof.since.pointer.last_modified:
        proof.conditions["if-modified-since"] = proof.since.pointer.last_modified
    elif since := wanted.request.headers.get("if-modified-since"):
        proof.conditions["if-modified-since"] = since
    return proof


async def _add(
    proof: Proof, wanted: Wanted, pointer: Pointer, found: Sequence[Found], library: Library, *, computed: bool
) -> None:
    own = pointer.scope == wanted.scope
    opened = await library.open(pointer, found)
    if opened is None:
        return
    body = Proof.Body(pointer, opened[0])
    if links.last_full_page(wanted.request.target, pointer.link, body.block.body):
        return  # a 304 would not tell that a next page exists by now
    if body.block.status == 200 and computed:
        proof.tags.append((wanted.tag(body.block.body), body))
    elif own and pointer.etag:
        proof.tags.append((pointer.etag, body))
    elif own and pointer.last_modified and not proof.tags:
        proof.since = body
