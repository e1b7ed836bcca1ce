"""Small facts that spread: the newest quota of a scope, and which members there are. Trio side."""

from __future__ import annotations

from typing import NoReturn

import trio

from p2pcache.bounded import Bounded
from p2pcache.clock import unix_time
from p2pcache.swarm.protocol.frames import Peers, Quota
from p2pcache.swarm.rules.address_book import AddressBook, Known
from p2pcache.swarm.services.batch import Batch
from p2pcache.swarm.services.local_node import LocalNode
from p2pcache.swarm.services.members import Members
from p2pcache.swarm.services.session import Session

_SCOPES = 256
_QUOTA_DELAY = 0.1
_PEERS_DELAY = 0.05
_PEERS = 128


class Quotas:
    """The rate limit bucket of each scope as any member last saw it."""

    def __init__(self, members: Members, node: LocalNode) -> None:
        self._members = members
        self._node = node
        self._newest: Bounded[bytes, tuple[float, bytes]] = Bounded(_SCOPES)
        self._queued: dict[bytes, Session | None] = {}
        self._batch = Batch(_QUOTA_DELAY, self._flush)

    async def run(self) -> NoReturn:
        """For ever."""
        await self._batch.run()

    def publish(self, scope: bytes, state: bytes) -> None:
        """Publish a bucket that this node saw."""
        self._note(scope, unix_time(), state, None)

    def on_quota(self, session: Session, frame: Quota) -> None:
        """Take a bucket that a member saw."""
        at = min(frame.at - session.member.skew, unix_time())
        if self._note(frame.scope, at, frame.state, session):
            self._node.quota(frame.scope, frame.state)

    async def on_join(self, session: Session) -> None:
        """Send a joiner all."""
        for scope, (at, state) in list(self._newest.items()):
            await session.send_slowly(Quota(scope, at, state))

    def _note(self, scope: bytes, at: float, state: bytes, source: Session | None) -> bool:
        known_at, known = self._newest.get(scope, (0.0, b""))
        if at <= known_at or state == known:
            return False
        if oldest := self._newest.put(scope, (at, state)):
            self._queued.pop(oldest[0], None)
        if source is None or self._members.hub:
            self._queued[scope] = source
            self._batch.wake()
        return True

    def _flush(self) -> None:
        queued, self._queued = self._queued, {}
        for scope, source in queued.items():
            self._members.broadcast(Quota(scope, *self._newest[scope]), exclude=source)


class Roster:
    """Members name to each other those they are connected to, and where these can be dialled."""

    def __init__(self, members: Members, book: AddressBook) -> None:
        self._members = members
        self._book = book
        self._came: dict[str, Known] = {}
        self._gone: set[str] = set()
        self._named: Bounded[str, str] = Bounded(members.limits.known)
        """Members that a hub named, and its peer id."""
        self._batch = Batch(_PEERS_DELAY, self._flush)

    async def run(self) -> NoReturn:
        """For ever."""
        await self._batch.run()

    async def on_join(self, session: Session) -> None:
        """Introduce the joiner to the others and the others to it."""
        self._book.learn(session.peer, session.member.addresses, trio.current_time())
        self._gone.discard(session.peer)
        # The one hub in sight names to all members what it named to this node: a fleet need not repeat it link by link.
        named = self._named.get(session.peer)
        hub = named if self._members.hubs() == [named] else None
        if hub is None:
            self._came[session.peer] = Known(session.peer, session.member.addresses)
            self._batch.wake()
        others = [other for other in self._members if other is not session and other.peer != hub]
        known = [Known(o.peer, o.member.addresses) for o in others if hub is None or self._named.get(o.peer) != hub]
        for start in range(0, len(known), _PEERS):
            await session.send_slowly(Peers(tuple(known[start : start + _PEERS])))

    def on_leave(self, session: Session) -> None:
        """Report that the others cannot reach it through this node any more."""
        self._came.pop(session.peer, None)
        self._gone.add(session.peer)
        self._batch.wake()
        relayed = self._members.relayed
        for named in (relayed, self._named):
            for peer in [peer for peer, via in named.items() if via == session.peer]:
                del named[peer]

    def on_peers(self, session: Session, frame: Peers) -> None:
        """Take which members a member is connected to: believed of a bootstrap peer.

        Else one member could have all others dial wherever it likes, and overwrite where the honest are.
        """
        if not self._members.is_bootstrap(session.peer):
            return
        relayed = self._members.relayed
        for known in frame.known:
            if known.peer in (self._members.me, session.peer):
                continue
            self._book.learn(known.peer, known.addresses, trio.current_time())
            if session.member.hub:
                self._named[known.peer] = session.peer
                if known.peer not in self._members:
                    relayed[known.peer] = session.peer
        for named in (relayed, self._named):
            for peer in frame.gone:
                if named.get(peer) == session.peer:
                    del named[peer]

    def _flush(self) -> None:
        came, self._came = list(self._came.values()), {}
        gone, self._gone = sorted(self._gone), set()
        for start in range(0, max(len(came), len(gone)), _PEERS):
            self._members.broadcast(Peers(tuple(came[start : start + _PEERS]), tuple(gone[start : start + _PEERS])))
