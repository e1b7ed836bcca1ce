"""The decision of each request, as `Cache-Status` and `--explain` report it.

Pure: nothing here waits, reads a clock or touches a tier.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from p2pcache.cache.entry import Pointer
from p2pcache.github.etag import TagKind, is_object_id

MAX_TAGS = 4
"""The most candidates of one request: each costs a body to load and 67 bytes of `If-None-Match`."""

STALE_IF_ERROR = 300.0
"""Seconds past its lifetime that the caller's own entry may stand in when GitHub cannot answer (RFC 5861, 4)."""


class Rule(enum.StrEnum):
    """The rule that decided; a public name, in the ledger and in ``get --explain``."""

    FRESH = "fresh"
    STRETCHED = "stretched: the quota runs low"
    STALE_FOR_QUOTA = "stale: the quota is nearly spent"
    STALE_FOR_ERROR = "stale: GitHub cannot answer"
    STALE_FOR_LIMIT = "stale: GitHub asked this token to wait"
    PROVE_OWN = "proof of an expired entry"
    PROVE_FRESH = "proof of a fresh entry: the request wants GitHub asked"
    PROVE_OTHER = "proof of another scope's entry"
    PROVE_EMPTY = "proof of an empty list"
    FETCH_COLD = "nothing found"
    NOT_TOLD = "nothing that this caller may know of"
    FETCH_UNPROVABLE = "found, but nothing that a 304 could prove"
    REFUSE_QUOTA = "refused here: the quota is spent"
    REFUSE_LIMIT = "refused here: GitHub asked this token to wait"


@dataclass(frozen=True, slots=True)
class Asked:
    """All that the decision may depend on, besides the pointers that were found.

    Attributes:
        scope: keyed digest of the caller's scope.
        now: Unix seconds.
        validators: the resource has validators (GraphQL has none).
        tag: what the answer's ETag is made of.
        computed_tags: the ETag rule is believed to hold for this operation.
        dated: ``Last-Modified`` alone shows that nothing changed.
        stretch: factor >= 1 on lifetimes, from the quota.
        serve_stale: the quota is so low that an expired own entry is served rather than risked on a call.
        refuse: the quota is spent and GitHub would refuse.
        wait: GitHub asked this token to wait (secondary limit, retry-after).
        oldest: seconds since GitHub last vouched for an answer, beyond which the caller does not take it, whatever the
            quota, and whether or not GitHub can answer (RFC 9111 sections 4.2.4 and 5.2.1).
    """

    scope: bytes
    now: float
    validators: bool = True
    tag: TagKind = TagKind.HASH
    computed_tags: bool = True
    dated: bool = False
    stretch: float = 1.0
    serve_stale: bool = False
    refuse: bool = False
    wait: bool = False
    oldest: float = math.inf

    def takes(self, pointer: Pointer) -> bool:
        """Return whether the caller takes an answer of that age without GitHub being asked."""
        return recent_enough(pointer, self.now, self.oldest)


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer with `pointer`'s block, without asking GitHub."""

    pointer: Pointer
    rule: Rule

    @property
    def stale(self) -> bool:
        """Whether the answer is past its lifetime, which `Cache-Status` must show."""
        return self.rule in (Rule.STALE_FOR_QUOTA, Rule.STALE_FOR_ERROR, Rule.STALE_FOR_LIMIT)


@dataclass(frozen=True, slots=True)
class Prove:
    """Ask GitHub conditionally for these, the likeliest first; a 304 costs no quota."""

    pointers: tuple[Pointer, ...]
    rule: Rule


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask GitHub unconditionally."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer in GitHub's place that the limit is reached."""

    rule: Rule


Decision = Serve | Prove | Fetch | Refuse

UNPROVEN = 0.0
"""As `expires_at`: something was dropped since GitHub vouched for this, so only a new proof makes it an answer."""


def clamped(pointer: Pointer, topics: tuple[bytes, ...], lifetime: float, now: float, dropped: float) -> Pointer:
    """Return a pointer from another node, or from another day, within this node's own bounds.

    It is never fresh for longer than this node's own `lifetime` in seconds, and carries the topics by which this node
    would drop it. It is not fresh at all in two cases: GitHub vouched for it before its topics were last `dropped` (a
    write or a refusal that has not reached its origin), or later than `now`: a clock was set back since, so that its
    age is unknown.
    """
    proved = min(pointer.proved_at, now)
    trusted = dropped < proved == pointer.proved_at
    expires = min(pointer.expires_at, proved + lifetime) if trusted else UNPROVEN
    return msgspec.structs.replace(pointer, topics=topics, proved_at=proved, expires_at=expires)


def recent_enough(pointer: Pointer, now: float, oldest: float) -> bool:
    """Return whether GitHub vouched for it less than `oldest` seconds ago.

    After a clock was set back the age is unknown: the distance counts, so that no-cache always means no.
    """
    return abs(now - pointer.proved_at) < oldest


def fresh_enough(pointer: Pointer, now: float, oldest: float = math.inf) -> bool:
    """Return whether its own scope may be served it without asking GitHub: within its lifetime and `oldest` seconds."""
    return pointer.fresh(now) and recent_enough(pointer, now, oldest)


def decide(asked: Asked, found: Sequence[Pointer]) -> Decision:
    """Decide one read, given every pointer found for its resource."""
    own = newest(p for p in found if p.scope == asked.scope)
    if own is not None and (served := _without_asking(asked, own)):
        return served
    if asked.wait:
        return Refuse(Rule.REFUSE_LIMIT)
    if asked.refuse:
        return Refuse(Rule.REFUSE_QUOTA)
    if not found:
        return Fetch(Rule.FETCH_COLD)
    provable = candidates(asked, own, found)
    if not provable:
        return Fetch(Rule.FETCH_UNPROVABLE)
    if provable[0] is not own:
        return Prove(provable, Rule.PROVE_OTHER)
    return Prove(provable, Rule.PROVE_FRESH if own.fresh(asked.now) else Rule.PROVE_OWN)


def _without_asking(asked: Asked, own: Pointer) -> Serve | None:
    if not asked.takes(own):
        return None
    if own.fresh(asked.now):
        return Serve(own, Rule.FRESH)
    lifetime = own.expires_at - own.proved_at
    if asked.now < own.proved_at + lifetime * asked.stretch:
        return Serve(own, Rule.STRETCHED)
    if not tolerable(own, asked.now):
        return None
    if asked.wait:
        return Serve(own, Rule.STALE_FOR_LIMIT)
    if asked.serve_stale or asked.refuse:
        return Serve(own, Rule.STALE_FOR_QUOTA)
    return None


def candidates(asked: Asked, own: Pointer | None, found: Sequence[Pointer]) -> tuple[Pointer, ...]:
    """Return what one conditional request can prove: the caller's own entry, then others by age, one per block."""
    if not asked.validators:
        return ()
    chosen: dict[bytes, Pointer] = {}
    if own is not None and (own.etag or (asked.dated and own.last_modified) or _for_any_caller(asked, own)):
        chosen[own.cid] = own
    for pointer in sorted(found, key=lambda p: p.proved_at, reverse=True):
        if _for_any_caller(asked, pointer):
            chosen.setdefault(pointer.cid, pointer)
    return tuple(chosen.values())[:MAX_TAGS]


def _for_any_caller(asked: Asked, pointer: Pointer) -> bool:
    """Return whether a tag follows from the body: computed for the caller, or the git object id of these bytes."""
    if asked.tag is TagKind.HASH:
        return asked.computed_tags
    return asked.tag is TagKind.BLOB and is_object_id(pointer.etag)


def tolerable(own: Pointer, now: float) -> bool:
    """Return whether an expired entry of the caller's own scope may stand in when GitHub cannot answer."""
    return now < own.expires_at + STALE_IF_ERROR


def on_failure(asked: Asked, found: Sequence[Pointer]) -> Serve | None:
    """Decide after GitHub could not be reached or answered 5xx: the caller's own entry, or None for the failure."""
    own = newest(p for p in found if p.scope == asked.scope)
    if own is None or not (tolerable(own, asked.now) and asked.takes(own)):
        return None
    return Serve(own, Rule.STALE_FOR_ERROR)


def newest(pointers: Iterable[Pointer]) -> Pointer | None:
    """Return the pointer that GitHub vouched for last, an unproven one only without any other; None without one."""
    return max(pointers, key=lambda p: (p.expires_at > UNPROVEN, p.proved_at), default=None)
