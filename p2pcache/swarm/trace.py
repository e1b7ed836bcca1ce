"""What came of asking peers for blocks, remembered for a moment: what ``p2pcache get --explain`` tells.

Written by the swarm's thread, read by the gateway's, which may see a moment's half of it: harmless.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import NamedTuple

from p2pcache.swarm.directory import Directory
from p2pcache.swarm.members import Members
from p2pcache.swarm.session import Session

log = logging.getLogger(__name__)

_REMEMBERED = 256
_TOLD = 8


class _Outcome(NamedTuple):
    at: float
    peer: str
    said: str


class Trace:
    """The latest attempts to get blocks from peers, bounded."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, list[_Outcome]] = OrderedDict()

    def note(self, cid: bytes, peer: str, said: str) -> None:
        """`peer` was asked for a block just now; `said` goes on after its name, e.g. "gave it in 12 ms"."""
        log.debug("asked for a block: %s %s", peer, said)
        outcomes = self._blocks.pop(cid, [])
        self._blocks[cid] = [*outcomes[1 - _TOLD :], _Outcome(time.monotonic(), peer, said)]
        if len(self._blocks) > _REMEMBERED:
            self._blocks.popitem(last=False)

    def outcomes(self, cids: Collection[bytes], since: float) -> dict[str, str]:
        """What each peer that was asked for one of the blocks `since` then (`time.monotonic`) did."""
        return {o.peer: o.said for cid in cids for o in self._blocks.get(cid, ()) if o.at >= since}


def explain(name: bytes, cid: bytes, since: float, trace: Trace, members: Members, directory: Directory) -> list[str]:
    """A clause for each peer: whether it was asked `since` then for the resource `name`, and why not.

    Args:
        name: the resource, by its keyed digest.
        cid: the block that the caller was given; others that were announced for the resource count too.
        since: the request's beginning, by `time.monotonic`.
        trace: the attempts.
        members: the open sessions.
        directory: what peers announced.
    """
    cids = {cid, *(pointer.cid for pointer in directory.find(name))}
    asked = trace.outcomes(cids, since)
    holders = {peer for each in cids for peer in directory.holders(each)}
    clauses = [f"{_short(peer)} {said}" for peer, said in asked.items()]
    others = [session for session in members if session.peer not in asked]
    clauses += [f"{_short(session.peer)} {_why_not(session, holders)}" for session in others]
    if len(clauses) > _TOLD:
        clauses[_TOLD:] = [f"{len(clauses) - _TOLD} more peers were not asked"]
    return clauses


def _why_not(session: Session, holders: Collection[str]) -> str:
    if session.peer not in holders:
        return "was not asked: it has not announced this"
    if not session.score.usable(time.monotonic()):
        return f"was not asked: {session.score.reason}"
    return "was not asked: it was not needed"


def _short(peer: str) -> str:
    return f"peer {peer[-8:]}"
