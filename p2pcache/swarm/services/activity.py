"""What a member does for the swarm, counted since its start, and logged: members that joined, members that left."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable

from p2pcache.clock import unix_time
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.swarm.rules.scoring import TokenBucket
from p2pcache.swarm.services.session import Session

JOINED, LEFT = "joined", "left"
GIVEN, RELAYED, KEPT, GRANTED = "blocks_given", "blocks_relayed", "blocks_kept", "leases_granted"
_OF_SESSIONS = ("blocks_in", "bytes_in", "bytes_out")
_LINES_A_SECOND = 1.0
_LINES_AT_ONCE = 20

log = logging.getLogger(__name__)


class Activity:
    """Counters by name, of a node: one for its swarm and all its rooms. Written by the swarm's thread, read by others.

    Attributes:
        errors: what went wrong, counted.

    Args:
        clock: seconds, for how often something is logged.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._lines = TokenBucket(_LINES_A_SECOND, _LINES_AT_ONCE)
        self._skipped = 0

    def count(self, name: str) -> None:
        """Count one more."""
        self._counts[name] += 1

    def on_join(self, session: Session) -> None:
        """Count a peer that proved itself and was admitted."""
        self._counts[JOINED] += 1
        kind = "hub" if session.member.hub else "member"
        self._log(f"{kind} {session.peer} joined from {session.link.address}")

    def on_leave(self, session: Session, ended: Ended) -> None:
        """Count a session that is over; one that makes way for another to the same peer is none that left."""
        for name in _OF_SESSIONS:
            self._counts[name] += getattr(session, name)
        if ended.reason is not Reason.DUPLICATE:
            self._counts[LEFT] += 1
            self._log(f"member {session.peer} left after {unix_time() - session.since:.0f} s: {ended}")

    def totals(self, sessions: Iterable[Session]) -> dict[str, int]:
        """Return the counts, those of the open `sessions` included."""
        totals = Counter(self._counts)
        for session in sessions:
            for name in _OF_SESSIONS:
                totals[name] += getattr(session, name)
        return dict(totals)

    def _log(self, sentence: str) -> None:
        if not self._lines.take(1, self._clock()):
            self._skipped += 1
            return
        if self._skipped:
            sentence, self._skipped = f"{sentence} (and {self._skipped} more joined or left)", 0
        log.info("%s", sentence)
