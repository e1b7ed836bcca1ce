"""What came of asking peers for blocks, remembered for a moment: what ``p2pcache get --explain`` shows.

Written by the swarm's thread, read by the gateway's, which may see a moment's half of it: harmless.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import NamedTuple

from p2pcache.bounded import Bounded
from p2pcache.swarm.rules.directory import Directory
from p2pcache.swarm.services.members import Members
from p2pcache.swarm.services.session import Session

log = logging.getLogger(__name__)

_REMEMBERED = 256
_SHOWN = 8


class _Outcome(NamedTuple):
    at: float
    peer: str
    clause: str


class FetchLog:
    """The latest attempts to get blocks from peers, bounded."""

    def __init__(self) -> None:
        self._blocks: Bounded[bytes, list[_Outcome]] = Bounded(_REMEMBERED)

    def note(self, cid: bytes, peer: str, clause: str) -> None:
        """Note that `peer` was asked for a block just now; `clause` follows its name, e.g. "gave it in 12 ms"."""
        log.debug("asked for a block: %s %s", peer, clause)
        outcomes = self._blocks.get(cid, [])
        self._blocks[cid] = [*outcomes[1 - _SHOWN :], _Outcome(time.monotonic(), peer, clause)]

    def outcomes(self, cids: Collection[bytes], since: float) -> dict[str, str]:
        """Return what each peer that was asked for one of the blocks `since` then (`time.monotonic`) did."""
        return {o.peer: o.clause for cid in cids for o in self._blocks.get(cid, ()) if o.at >= since}


def explain(
    name: bytes, cid: bytes, since: float, fetched: FetchLog, members: Members, directory: Directory
) -> list[str]:
    """Return a clause for each peer: whether it was asked `since` then for the resource `name`, and why not.

    Args:
        name: the resource, by its keyed digest.
        cid: the block that the caller was given; others that were announced for the resource count too.
        since: the request's beginning, by `time.monotonic`.
        fetched: the attempts.
        members: the open sessions.
        directory: what peers announced.
    """
    cids = {cid, *(pointer.cid for pointer in directory.find(name))}
    asked = fetched.outcomes(cids, since)
    holders = {peer for each in cids for peer in directory.holders(each)}
    clauses = [f"{_short(peer)} {clause}" for peer, clause in asked.items()]
    others = [session for session in members if session.peer not in asked]
    clauses += [f"{_short(session.peer)} {_why_not(session, holders)}" for session in others]
    if len(clauses) > _SHOWN:
        clauses[_SHOWN:] = [f"{len(clauses) - _SHOWN} more peers were not asked"]
    return clauses


def _why_not(session: Session, holders: Collection[str]) -> str:
    if session.peer not in holders:
        return "was not asked: it has not announced this"
    if not session.score.usable(time.monotonic()):
        return f"was not asked: {session.score.reason}"
    return "was not asked: it was not needed"


def _short(peer: str) -> str:
    return f"peer {peer[-8:]}"
