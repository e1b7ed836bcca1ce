"""Who is connected: admission, duplicates, farewell, and the table of `p2pcache peers`. Trio side."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator

import msgspec

from p2pcache.clock import unix_time
from p2pcache.swarm.activity import Activity
from p2pcache.swarm.config import Limits, PeerRow
from p2pcache.swarm.multiaddrs import Address
from p2pcache.swarm.reasons import Ended, Reason
from p2pcache.swarm.session import Session

_REMEMBERED = 32
_CHOSEN = 64
QUIET = frozenset({Reason.LEAVING, Reason.DUPLICATE, Reason.ITSELF})
"""Reasons nobody needs to read about."""


class Members:
    """The open sessions, at most one a peer.

    Args:
        me: this node's peer id.
        hub: whether this node is one.
        limits: for the bound.
        changed: called with the number of members whenever it changes.
    """

    def __init__(self, me: str, limits: Limits, changed: Callable[[int], None], *, hub: bool = False) -> None:
        self.me = me
        self.hub = hub
        self.limits = limits
        self.counters: Counter[str] = Counter()
        self.relayed: OrderedDict[str, str] = OrderedDict()
        """Members known through another: theirs and the other's peer id."""
        self.activity = Activity()
        self.unreached: dict[Address, str] = {}
        """Bootstrap peers that cannot be dialled at present, and why."""
        self._changed = changed
        self._chosen: OrderedDict[str, None] = OrderedDict()
        self._sessions: dict[str, Session] = {}
        self._past: deque[PeerRow] = deque(maxlen=_REMEMBERED)
        self._refused: deque[PeerRow] = deque(maxlen=_REMEMBERED)  # apart: strangers come in any number

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, peer: str) -> bool:
        return peer in self._sessions

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def peers(self) -> set[str]:
        """Their ids."""
        return set(self._sessions)

    def get(self, peer: str) -> Session | None:
        """The open session of a peer."""
        return self._sessions.get(peer)

    def hubs(self) -> list[str]:
        """Peer ids of the hubs in sight that the configuration names, this node included if it is one."""
        found = [session.peer for session in self if session.member.hub and session.peer in self._chosen]
        return [*found, self.me] if self.hub else found

    def choose(self, peer: str) -> None:
        """The configuration names it: it was reached where a bootstrap address says.

        What it says of other members is believed, and that it is a hub; anybody can say that of himself.
        """
        self._chosen[peer] = None
        self._chosen.move_to_end(peer)
        if len(self._chosen) > _CHOSEN:
            self._chosen.popitem(last=False)

    def chosen(self, peer: str) -> bool:
        """Whether the configuration names it."""
        return peer in self._chosen

    def admit(self, session: Session) -> None:
        """Enter a session, in place of an older one to the same peer.

        Raises:
            Ended: there is no room, or the other session stays.
        """
        present = self._sessions.get(session.peer)
        if present is None and len(self._sessions) >= self.limits.members:
            raise Ended(Reason.FULL)
        if present is not None:
            if present.link.dialled != session.link.dialled and not self._preferred(session):
                raise Ended(Reason.DUPLICATE)
            present.end(Reason.DUPLICATE)
        self._sessions[session.peer] = session
        self.relayed.pop(session.peer, None)
        if present is None:
            self.activity.joined(session)
        self._changed(len(self._sessions))

    def leave(self, session: Session, ended: Ended) -> bool:
        """Remove a session that is over; False when a newer one to the peer has taken its place."""
        session.closed.set()
        self.activity.left(session, ended)
        self.remember(session.peer, session.link.address, session.link.dialled, ended, session)
        if self._sessions.get(session.peer) is not session:
            return False
        del self._sessions[session.peer]
        self._changed(len(self._sessions))
        return True

    def broadcast(self, frame: bytes, exclude: Session | None = None) -> None:
        """Queue a frame for everybody."""
        for session in self:
            if session is not exclude:
                session.send(frame)

    def hint(self, frame: bytes, exclude: Session | None = None) -> None:
        """Queue for everybody what others said, where there is plenty of room: it is nobody's fault if there is not."""
        for session in self:
            if session is not exclude and not session.hint(frame):
                self.counters["hints_skipped"] += 1

    def remember(self, peer: str, address: str, dialled: bool, ended: Ended, session: Session | None = None) -> None:
        """Keep for the table what ended badly, and count it."""
        if ended.reason in QUIET:
            return
        self.counters["dropped" if session else "refused"] += 1
        if ended.reason in (Reason.GARBAGE, Reason.BLOCKS):
            self.counters["garbage"] += 1
        row = _row(session) if session else _stranger(peer, address, dialled)
        state, past = ("dropped", self._past) if session else ("refused", self._refused)
        past.append(_with(row, since=unix_time(), state=state, reason=str(ended)))

    def rows(self, announced: Callable[[str], int]) -> list[PeerRow]:
        """The table: connected, relayed, and what ended badly. May be called by any thread."""
        now = time.monotonic()
        here = [_with(_row(session), announced=announced(session.peer), **_standing(session, now)) for session in self]
        relayed = [
            _with(_stranger(peer, "", dialled=False), via="hub", direction="", state="relayed", reason="")
            for peer, via in list(self.relayed.items())
            if via in self._sessions
        ]
        unreached = [
            _with(_stranger(address.peer or "", str(address.bare()), dialled=True), state="unreached", reason=why)
            for address, why in list(self.unreached.items())
        ]
        return [*here, *relayed, *unreached, *self._past, *self._refused]

    def _preferred(self, session: Session) -> bool:
        """Two that dial each other at once must agree: the connection dialled by the smaller id stays."""
        return session.link.dialled == (self.me < session.peer)


def _standing(session: Session, now: float) -> dict[str, str]:
    if not session.score.usable(now):
        return {"state": "slow", "reason": session.score.reason}
    return {"state": "hub" if session.member.hub else "member", "reason": ""}


def _row(session: Session) -> PeerRow:
    return PeerRow(
        peer_id=session.peer,
        address=session.link.address,
        direction="out" if session.link.dialled else "in",
        via="direct",
        since=session.since,
        rtt_ms=None if session.rtt is None else round(session.rtt * 1000, 2),
        blocks_in=session.blocks_in,
        bytes_in=session.bytes_in,
        bytes_out=session.bytes_out,
        announced=0,
        state="member",
    )


def _stranger(peer: str, address: str, dialled: bool) -> PeerRow:
    return PeerRow(peer, address, "out" if dialled else "in", "direct", 0.0, None, 0, 0, 0, 0, "refused")


def _with(row: PeerRow, **changes: object) -> PeerRow:
    return msgspec.structs.replace(row, **changes)
