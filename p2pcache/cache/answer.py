"""What the engine answers a read with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from p2pcache.cache.decide import Rule
from p2pcache.cache.entry import Entry
from p2pcache.cache.upstream import Response

_MAY_READ = (200, 301, 304)
"""What GitHub answers to those alone who may see what they ask for."""


@dataclass(frozen=True, slots=True)
class Cached:
    """An entry of the caller's scope.

    Attributes:
        entry: what to answer with.
        rule: the row of the decision.
        hit: the `detail` of `Cache-Status` when no charged call was made for it, else None.
        forwarded: GitHub's status when it was asked, else None.
        stored: it was kept just now.
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
    """GitHub's own answer, not kept: its body is `body` when it was read, else still to be streamed and closed.

    `shared` says that a caller with the same credential was being answered, so this costs nothing more; `limited`,
    that GitHub refused because of a limit.
    """

    response: Response
    body: bytes | None
    rule: str
    forwarded: int
    shared: bool = False
    limited: bool = False


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The limit is reached: what GitHub would say, said here."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    rule: str


Answer = Cached | Forwarded | RateLimited


def shareable(answer: Answer) -> Answer | None:
    """What callers with the same credential may be given of it.

    A stream has one reader only, and a 304 answers the conditions that its own caller sent.
    """
    alone = isinstance(answer, Forwarded) and (answer.body is None or answer.forwarded == 304)
    return None if alone else answer


def coalesced(answer: Answer, came: float) -> Answer | None:
    """Another caller's answer for one that `came` (Unix seconds) meanwhile; None where it was too old already then."""
    match answer:
        case Cached():
            if not (answer.stale or answer.entry.pointer.fresh(came)):
                return None
            return replace(answer, hit="stale" if answer.stale else "coalesced", forwarded=None, stored=False, pairs=())
        case Forwarded():
            return replace(answer, shared=True)
        case RateLimited():
            return answer
        case _:
            assert_never(answer)


def told(answer: Answer) -> str:
    """The rule, as far as the caller may learn it.

    Why GitHub was asked says whether another token was given this before, so that a caller whom GitHub refuses could
    find out that a repository exists.
    """
    if isinstance(answer, Forwarded) and answer.forwarded not in _MAY_READ:
        return Rule.NOT_TOLD
    return answer.rule
