"""What is worth a line in the log about peers, and how often: neither strangers nor members can fill it. Pure."""

from __future__ import annotations

from collections import Counter, OrderedDict

from p2pcache.swarm.members import QUIET
from p2pcache.swarm.reasons import Ended, Reason

AGAIN = 60.0
"""Seconds before the same is said once more of strangers, who may come in any number and under any name."""
_REMEMBERED = 256
_MEMBERS = 16
_WORTH_TELLING = frozenset(Reason) - QUIET - {Reason.BROKEN, Reason.SILENT}


class Complaints:
    """Decides over each line.

    A member is complained of once for each reason, and all members together `_MEMBERS` times in `AGAIN` seconds.
    Strangers are complained of once for each reason in that time; how many were left out is said with the next one.
    """

    def __init__(self) -> None:
        self._members: OrderedDict[tuple[str, Reason], float] = OrderedDict()
        self._strangers: dict[Reason, float] = {}
        self._left_out: Counter[Reason] = Counter()

    def line(self, peer: str, address: str, ended: Ended, now: float) -> str | None:
        """The sentence to be logged of a session that ended, or a stranger that was refused; None: nothing."""
        if not ended.ours or ended.reason not in _WORTH_TELLING:
            return None
        if ended.met:
            return f"a peer at {address} was dropped: {ended}" if self._of_member(peer, ended.reason, now) else None
        if now - self._strangers.get(ended.reason, -AGAIN) < AGAIN:
            self._left_out[ended.reason] += 1
            return None
        self._strangers[ended.reason] = now
        others = self._left_out.pop(ended.reason, 0)
        more = f" (and {others} more since it was last said)" if others else ""
        return f"a peer at {address} was refused: {ended}{more}"

    def _of_member(self, peer: str, reason: Reason, now: float) -> bool:
        if (peer, reason) in self._members or sum(now - at < AGAIN for at in self._members.values()) >= _MEMBERS:
            return False
        self._members[peer, reason] = now
        if len(self._members) > _REMEMBERED:
            self._members.popitem(last=False)
        return True
