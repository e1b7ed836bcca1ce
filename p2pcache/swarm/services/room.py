"""The members that share one secret, and what they do for each other: one swarm, or one room of a hub. Trio side."""

from __future__ import annotations

from functools import partial
from typing import assert_never

import trio

from p2pcache.swarm.protocol import frames
from p2pcache.swarm.protocol.frames import Message
from p2pcache.swarm.rules.address_book import AddressBook
from p2pcache.swarm.rules.config import Limits
from p2pcache.swarm.rules.directory import Directory
from p2pcache.swarm.rules.identity import Identity
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.swarm.services.activity import Activity
from p2pcache.swarm.services.blocks import BlockExchange
from p2pcache.swarm.services.gossip import Quotas, Roster
from p2pcache.swarm.services.introduction import farewell
from p2pcache.swarm.services.invalidations import Invalidations
from p2pcache.swarm.services.lease_client import LeaseClient
from p2pcache.swarm.services.local_node import LocalNode
from p2pcache.swarm.services.members import Members
from p2pcache.swarm.services.session import Session


class Room:
    """Members, and the services between them. Nothing passes from one room to another but through its node.

    Args:
        limits: bounds and deadlines.
        node: what this node holds, for these members.
        directory: what they announced.
        me: this node's key.
        hub: whether this node is their hub.
        activity: of the whole node, where this is not its one room.
    """

    def __init__(
        self,
        limits: Limits,
        node: LocalNode,
        directory: Directory,
        me: Identity,
        *,
        hub: bool,
        activity: Activity | None = None,
    ) -> None:
        self.directory = directory
        self.members = Members(me.peer, limits, node.changed, hub=hub, activity=activity)
        self.book = AddressBook(me.peer, limits.known, limits.dial_turns)
        self.blocks = BlockExchange(self.members, directory, node)
        self.leases = LeaseClient(self.members, directory, node, me)
        self.invalidations = Invalidations(self.members, directory, node, self.leases.arbiter, me)
        self.quotas = Quotas(self.members, node)
        self.roster = Roster(self.members, self.book)

    async def run_services(self) -> None:
        """Run what goes on beside the sessions, until cancelled."""
        async with trio.open_nursery() as nursery:
            for part in (self.blocks, self.leases, self.quotas, self.roster):
                nursery.start_soon(part.run)

    async def attend(self, session: Session) -> Ended:
        """Admit and serve one session until it ends; return how it did.

        Raises:
            Ended: there is no room, or another session to the peer stays.
        """
        await self._admit(session)
        ended = Ended(Reason.LEAVING)
        try:
            ended = await session.run(partial(self._welcome, session))
        finally:
            if self.members.leave(session, ended):
                self.blocks.on_leave(session)
                self.leases.on_leave(session)
                self.roster.on_leave(session)
                if session.member.hub and not self.members.hubs():
                    self.book.hurry(trio.current_time())
        ended.met = True
        return ended

    async def _admit(self, session: Session) -> None:
        try:
            self.members.admit(session)
        except Ended as ended:
            await farewell(session.link, ended.reason)
            raise
        self.leases.on_join(session)

    async def _welcome(self, session: Session) -> None:
        """Send invalidations first: what is announced after them was proved after them."""
        await self.invalidations.on_join(session)
        await self.quotas.on_join(session)
        await self.roster.on_join(session)
        await self.blocks.on_join(session)

    def on_message(self, session: Session, frame: Message) -> None:  # one line a frame
        """Hand a frame to the service that it is for."""
        match frame:
            case frames.Have():
                self.blocks.on_have(session, frame)
            case frames.Get():
                self.blocks.on_get(session, frame)
            case frames.Drop():
                self.invalidations.on_drop(session, frame)
            case frames.Acquire():
                self.leases.on_acquire(session, frame)
            case frames.Release():
                self.leases.arbiter.on_release(session, frame)
            case frames.Grant():
                self.leases.on_grant(session, frame)
            case frames.Queued():
                self.leases.on_queued(session, frame)
            case frames.Free():
                self.leases.on_free(session, frame)
            case frames.Quota():
                self.quotas.on_quota(session, frame)
            case frames.Peers():
                self.roster.on_peers(session, frame)
            case _:
                assert_never(frame)
