"""The connected members: admission, duplicates, and the table of `p2pcache peers`. Trio side."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from p2pcache.addresses import Address
from p2pcache.bounded import Bounded
from p2pcache.clock import unix_time
from p2pcache.swarm.protocol.frames import AnyFrame, encode
from p2pcache.swarm.rules.config import Limits, PeerRow
from p2pcache.swarm.rules.reasons import QUIET, Ended, Reason
from p2pcache.swarm.services.activity import Activity
from p2pcache.swarm.services.session import Session

_REMEMBERED = 32
_BOOTSTRAP = 64


class Members:
    """The open sessions, at most one a peer.

    Args:
        me: this node's peer id.
        hub: whether this node is one.
        limits: for the bound.
        changed: called with the number of members whenever it changes.
        activity: of the whole node, where these are not all of its members.
    """

    def __init__(
        self,
        me: str,
        limits: Limits,
        changed: Callable[[int], None],
        *,
        hub: bool = False,
        activity: Activity | None = None,
    ) -> None:
        self.me = me
        self.hub = hub
        self.limits = limits
        self.activity = activity or Activity()
        self.counters = self.activity.errors
        self.relayed: Bounded[str, str] = Bounded(limits.known)
        """Members known through another: theirs and the other's peer id."""
        self.unreached: dict[Address, str] = {}
        """Bootstrap peers that cannot be dialled at present, and why."""
        self._changed = changed
        self._bootstrap: Bounded[str, None] = Bounded(_BOOTSTRAP)
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
        """Return their ids."""
        return set(self._sessions)

    def get(self, peer: str) -> Session | None:
        """Return the open session of a peer."""
        return self._sessions.get(peer)

    def hubs(self) -> list[str]:
        """Return the peer ids of hubs in sight that are bootstrap peers, this node included if it is a hub."""
        found = [session.peer for session in self if session.member.hub and session.peer in self._bootstrap]
        return [*found, self.me] if self.hub else found

    def add_bootstrap(self, peer: str) -> None:
        """Note a peer that was reached at a bootstrap address.

        It is believed what it sends of other members, and that it is a hub, which any member can claim of itself.
        """
        self._bootstrap[peer] = None

    def is_bootstrap(self, peer: str) -> bool:
        """Return whether the configuration names it."""
        return peer in self._bootstrap

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
            self.activity.on_join(session)
        self._changed(len(self._sessions))

    def leave(self, session: Session, ended: Ended) -> bool:
        """Remove a session that is over; return False when a newer one to the peer has taken its place."""
        session.closed.set()
        self.activity.on_leave(session, ended)
        self.remember(session.peer, session.link.address, session.link.dialled, ended, session)
        if self._sessions.get(session.peer) is not session:
            return False
        del self._sessions[session.peer]
        self._changed(len(self._sessions))
        return True

    def send(self, peer: str, frame: AnyFrame) -> None:
        """Queue a frame for a peer; one that has just left ends what it took part in with its session."""
        if session := self.get(peer):
            session.send(frame)

    def broadcast(self, frame: AnyFrame, exclude: Session | None = None) -> None:
        """Queue a frame for every member."""
        data = encode(frame)
        for session in self:
            if session is not exclude:
                session.queue(data, frame.since)

    def hint(self, data: bytes, since: int, exclude: Session | None = None) -> None:
        """Queue encoded hearsay for every member that has plenty of room; that one has not is not held against it."""
        for session in self:
            if session is not exclude and not session.hint(data, since):
                self.counters["hints_skipped"] += 1

    def remember(self, peer: str, address: str, dialled: bool, ended: Ended, session: Session | None = None) -> None:
        """Keep what ended badly for the table, and count it."""
        if ended.reason in QUIET:
            return
        self.counters["dropped" if session else "refused"] += 1
        if ended.reason in (Reason.GARBAGE, Reason.BLOCKS):
            self.counters["garbage"] += 1
        row = _row(session) if session else _stranger(peer, address, dialled)
        state, past = ("dropped", self._past) if session else ("refused", self._refused)
        past.append(_with(row, since=unix_time(), state=state, reason=str(ended)))

    def rows(self, announced: Callable[[str], int]) -> list[PeerRow]:
        """Return the table: connected, relayed, and what ended badly. Any thread may call this."""
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
        rtt_ms=None if session.connection.rtt is None else round(session.connection.rtt * 1000, 2),
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
