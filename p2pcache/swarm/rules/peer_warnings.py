"""Which sentences about peers reach the log, and how often: neither strangers nor members can fill it. Pure."""

from __future__ import annotations

from collections import Counter

from p2pcache.bounded import Bounded
from p2pcache.swarm.rules.reasons import QUIET, Ended, Reason

AGAIN = 60.0
"""Seconds before the same is logged once more of strangers, which may come in any number and under any name."""
_REMEMBERED = 256
_MEMBERS = 16
_SENTENCES = 8
_LOGGED = frozenset(Reason) - QUIET - {Reason.BROKEN, Reason.SILENT}


class PeerWarnings:
    """Rate limits of the log.

    A member is named once for each reason, and all members together `_MEMBERS` times in `AGAIN` seconds. Of strangers
    each sentence is logged once in that time, and `_SENTENCES` for each reason; the next one for that reason gives the
    number of those that were skipped.
    """

    def __init__(self) -> None:
        self._members: Bounded[tuple[str, Reason], float] = Bounded(_REMEMBERED)
        self._strangers: dict[tuple[Reason, str], float] = {}
        self._skipped: Counter[Reason] = Counter()

    def sentence(self, peer: str, address: str, ended: Ended, now: float) -> str | None:
        """Return what to log of a session that ended, or of a stranger that was refused; None: nothing.

        Args:
            peer: the id of the other side.
            address: where it is.
            ended: how it ended.
            now: seconds of any clock that only passes.
        """
        if not ended.ours or ended.reason not in _LOGGED:
            return None
        if ended.met:
            return f"a peer at {address} was dropped: {ended}" if self._of_member(peer, ended.reason, now) else None
        self._strangers = {known: at for known, at in self._strangers.items() if now - at < AGAIN}
        said = ended.reason, str(ended)
        if said in self._strangers or sum(reason is ended.reason for reason, _ in self._strangers) >= _SENTENCES:
            self._skipped[ended.reason] += 1
            return None
        self._strangers[said] = now
        others = self._skipped.pop(ended.reason, 0)
        more = f" (and {others} more since it was last said)" if others else ""
        return f"a peer at {address} was refused: {ended}{more}"

    def _of_member(self, peer: str, reason: Reason, now: float) -> bool:
        if (peer, reason) in self._members or sum(now - at < AGAIN for at in self._members.values()) >= _MEMBERS:
            return False
        self._members[peer, reason] = now
        return True
