"""The answers of the engine to a read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from p2pcache.cache.decide import Rule
from p2pcache.cache.entry import Entry
from p2pcache.cache.upstream import Response

_MAY_READ = (200, 301, 304)
"""The statuses that GitHub gives only to a credential that may see the resource."""


@dataclass(frozen=True, slots=True)
class Cached:
    """An entry of the caller's scope.

    Attributes:
        entry: the pointer and the block to answer with.
        rule: the `decide.Rule` that applied.
        hit: the `detail` of `Cache-Status` when no charged call was made for it, else None.
        forwarded: GitHub's status when it was asked, else None.
        stored: it was stored by this request.
        stale: it is past its lifetime.
        pairs: the header lines of GitHub's answer to this very request, when it was asked for the body.
    """

    entry: Entry
    rule: str
    hit: str | None
    forwarded: int | None = None
    stored: bool = False
    stale: bool = False
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Forwarded:
    """GitHub's own answer, not kept.

    Attributes:
        body: None when it is still to be streamed from `response`, which the receiver then closes.
        shared: made for another caller with the same credential, so that it costs no call of its own.
        limited: GitHub refused because of a limit.
    """

    response: Response
    body: bytes | None
    rule: str
    forwarded: int
    shared: bool = False
    limited: bool = False


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The limit is reached: the refusal that GitHub would send, made here."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    rule: str


Answer = Cached | Forwarded | RateLimited


def shareable(answer: Answer) -> Answer | None:
    """Return `answer` where callers with the same credential may be given it, else None.

    A stream has one reader only, and a 304 answers the conditions that its own caller sent.
    """
    alone = isinstance(answer, Forwarded) and (answer.body is None or answer.forwarded == 304)
    return None if alone else answer


def coalesced(answer: Answer, arrived: float) -> Answer | None:
    """Return another caller's answer for one that `arrived` (Unix seconds) meanwhile; None if it was stale by then."""
    match answer:
        case Cached():
            if not (answer.stale or answer.entry.pointer.fresh(arrived)):
                return None
            return replace(answer, hit="stale" if answer.stale else "coalesced", forwarded=None, stored=False, pairs=())
        case Forwarded():
            return replace(answer, shared=True)
        case RateLimited():
            return answer
        case _:
            assert_never(answer)


def shown_rule(answer: Answer) -> str:
    """Return the rule of `answer`, or `Rule.NOT_TOLD` where GitHub refused the caller.

    The rule shows whether an entry of another token was found: a refused caller could learn from it that a repository
    exists.
    """
    if isinstance(answer, Forwarded) and answer.forwarded not in _MAY_READ:
        return Rule.NOT_TOLD
    return answer.rule
