"""Small facts that spread: the newest quota of a scope, and which members there are. Trio side."""

from __future__ import annotations

from collections import OrderedDict
from typing import NoReturn

import trio

from p2pcache.clock import unix_time
from p2pcache.swarm.address_book import AddressBook
from p2pcache.swarm.batch import Batch
from p2pcache.swarm.frames import Known, Peers, Quota, encode
from p2pcache.swarm.members import Members
from p2pcache.swarm.outside import Outside
from p2pcache.swarm.session import Session

_SCOPES = 256
_QUOTA_DELAY = 0.1
_PEERS_DELAY = 0.05
_PEERS = 128


class Quotas:
    """The bucket state of each scope as any member last saw it."""

    def __init__(self, members: Members, outside: Outside) -> None:
        self._members = members
        self._outside = outside
        self._newest: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._telling: dict[bytes, Session | None] = {}
        self._batch = Batch(_QUOTA_DELAY, self._tell)

    async def run(self) -> NoReturn:
        """For ever."""
        await self._batch.run()

    def publish(self, scope: bytes, state: bytes) -> None:
        """This node saw a bucket."""
        self._note(scope, unix_time(), state, None)

    def seen(self, session: Session, frame: Quota) -> None:
        """A member saw one."""
        at = min(frame.at - session.member.skew, unix_time())
        if self._note(frame.scope, at, frame.state, session):
            self._outside.quota(frame.scope, frame.state)

    async def joined(self, session: Session) -> None:
        """Tell a joiner all."""
        for scope, (at, state) in list(self._newest.items()):
            await session.send_slowly(encode(Quota(scope, at, state)))

    def _note(self, scope: bytes, at: float, state: bytes, source: Session | None) -> bool:
        known_at, known = self._newest.get(scope, (0.0, b""))
        if at <= known_at or state == known:
            return False
        self._newest[scope] = (at, state)
        self._newest.move_to_end(scope)
        if len(self._newest) > _SCOPES:
            oldest, _ = self._newest.popitem(last=False)
            self._telling.pop(oldest, None)
        if source is None or self._members.hub:
            self._telling[scope] = source
            self._batch.wake()
        return True

    def _tell(self) -> None:
        telling, self._telling = self._telling, {}
        for scope, source in telling.items():
            self._members.broadcast(encode(Quota(scope, *self._newest[scope])), exclude=source)


class Roster:
    """Members tell each other whom they are connected to, and where those can be dialled."""

    def __init__(self, members: Members, book: AddressBook) -> None:
        self._members = members
        self._book = book
        self._came: dict[str, Known] = {}
        self._gone: set[str] = set()
        self._named: OrderedDict[str, str] = OrderedDict()
        """Members a hub told of, and its peer id."""
        self._batch = Batch(_PEERS_DELAY, self._tell)

    async def run(self) -> NoReturn:
        """For ever."""
        await self._batch.run()

    async def joined(self, session: Session) -> None:
        """Introduce the joiner to the others and the others to it."""
        self._book.learn(session.peer, session.member.addresses, trio.current_time())
        self._gone.discard(session.peer)
        # The one hub in sight tells everybody of whom it told this node: a fleet need not repeat it link by link.
        named = self._named.get(session.peer)
        hub = named if self._members.hubs() == [named] else None
        if hub is None:
            self._came[session.peer] = Known(session.peer, session.member.addresses)
            self._batch.wake()
        others = [other for other in self._members if other is not session and other.peer != hub]
        known = [Known(o.peer, o.member.addresses) for o in others if hub is None or self._named.get(o.peer) != hub]
        for start in range(0, len(known), _PEERS):
            await session.send_slowly(encode(Peers(tuple(known[start : start + _PEERS]))))

    def left(self, session: Session) -> None:
        """The others cannot reach it through this node any more."""
        self._came.pop(session.peer, None)
        self._gone.add(session.peer)
        self._batch.wake()
        relayed = self._members.relayed
        for told in (relayed, self._named):
            for peer in [peer for peer, via in told.items() if via == session.peer]:
                del told[peer]

    def told(self, session: Session, frame: Peers) -> None:
        """A member tells whom it is connected to: believed of one that the configuration names.

        Else one member could have all others dial wherever it likes, and overwrite where the honest are.
        """
        if not self._members.chosen(session.peer):
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
        for told in (relayed, self._named):
            for peer in frame.gone:
                if told.get(peer) == session.peer:
                    del told[peer]
            while len(told) > self._members.limits.known:
                told.popitem(last=False)

    def _tell(self) -> None:
        came, self._came = list(self._came.values()), {}
        gone, self._gone = sorted(self._gone), set()
        for start in range(0, max(len(came), len(gone)), _PEERS):
            frame = Peers(tuple(came[start : start + _PEERS]), tuple(gone[start : start + _PEERS]))
            self._members.broadcast(encode(frame))
