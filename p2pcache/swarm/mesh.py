"""The swarm of one node: every link is introduced, admitted, served and dismissed here. Trio side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import trio

from p2pcache.swarm import address_book, frames, mdns, multiaddrs
from p2pcache.swarm.address_book import AddressBook
from p2pcache.swarm.complaints import Complaints
from p2pcache.swarm.config import SwarmConfig, SwarmError
from p2pcache.swarm.dialer import Dialer
from p2pcache.swarm.directory import Directory
from p2pcache.swarm.drops import Drops
from p2pcache.swarm.exchange import BlockExchange
from p2pcache.swarm.frames import AnyFrame
from p2pcache.swarm.gossip import Quotas, Roster
from p2pcache.swarm.identity import Identity
from p2pcache.swarm.leases import LeaseDesk
from p2pcache.swarm.link import Host, Link
from p2pcache.swarm.members import Members
from p2pcache.swarm.membership import Card, Incoming, farewell, introduce
from p2pcache.swarm.multiaddrs import Address
from p2pcache.swarm.outside import Outside
from p2pcache.swarm.reasons import Ended, Reason, fault
from p2pcache.swarm.session import Session

_GOODBYE = 0.5


class Mesh:
    """Everything that happens in the swarm's thread.

    Args:
        config: how this node takes part.
        bootstrap: `config.bootstrap`, parsed.
        host: the transport.
        outside: the rest of the node.
        directory: shared with the tier, which reads it from its own thread.
        me: this node's key.
    """

    def __init__(
        self,
        config: SwarmConfig,
        bootstrap: tuple[Address, ...],
        host: Host,
        outside: Outside,
        directory: Directory,
        me: Identity,
    ) -> None:
        self._config = config
        self._bootstrap = bootstrap
        self._host = host
        self._outside = outside
        self._directory = directory
        self._card = Card(config.hub, ())
        self._complaints = Complaints()
        self.port = 0
        """What this node listens at, once it does."""
        self.members = Members(host.peer, config.limits, outside.changed, hub=config.hub)
        self.book = AddressBook(host.peer, config.limits.known)
        self.exchange = BlockExchange(self.members, directory, outside)
        self.leases = LeaseDesk(self.members, directory, outside, me)
        self.drops = Drops(self.members, directory, outside, self.leases, me)
        self.quotas = Quotas(self.members, outside)
        self.roster = Roster(self.members, self.book)
        self.dialer = Dialer(host, self.members, self.book, outside, self.meet)
        self._handlers: dict[type[AnyFrame], Callable[[Session, Any], None]] = {
            frames.Have: self.exchange.have,
            frames.Get: self.exchange.get,
            frames.Drop: self.drops.dropped,
            frames.Ask: self.leases.asked,
            frames.Release: self.leases.released,
            frames.Grant: self.leases.told,
            frames.Wait: self.leases.told,
            frames.Free: self.leases.told,
            frames.Quota: self.quotas.seen,
            frames.Peers: self.roster.told,
        }

    async def run(self, started: Callable[[tuple[str, ...]], None]) -> None:
        """Until cancelled. `started` gets the multiaddrs that reach this node, once it listens.

        Raises:
            SwarmError: the address cannot be listened on.
        """
        told = await self._listen()
        self._card = Card(self._config.hub, told[:8])
        path = self._config.identity.with_name(self._config.identity.name + ".peers")
        self.book.restore(address_book.load(path), trio.current_time())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._host.serve, self._accept)
            for part in (self.exchange, self.leases, self.quotas, self.roster):
                nursery.start_soon(part.run)
            for address in self._bootstrap:
                nursery.start_soon(self.dialer.bootstrap, address)
            nursery.start_soon(self.dialer.explore)
            nursery.start_soon(self.dialer.remember, path)
            if self._config.mdns:
                nursery.start_soon(self._discover, told)
            started(tuple(f"{address}/p2p/{self._host.peer}" for address in told))

    async def leave(self) -> None:
        """Say goodbye to everybody, so that nobody has to take the end of this node for a failure."""
        sessions = list(self.members)
        for session in sessions:
            session.end(Reason.LEAVING)
        with trio.move_on_after(_GOODBYE):
            for session in sessions:
                await session.closed.wait()

    async def _listen(self) -> tuple[str, ...]:
        """Listen, and say where others reach this node."""
        announce = self._config.announce
        try:
            listening = await self._host.bind()
        except SwarmError:
            if self._config.hub:  # members look for a hub where it was said to be
                raise
            listening = await self._host.bind(any_port=True)
            self._outside.warn(f"{self._config.listen} cannot be had: the swarm listens on {listening} instead")
            announce = ()  # those addresses lead to whoever has that port
        self.port = listening.port
        return announce or tuple(map(str, multiaddrs.announced(listening, multiaddrs.interfaces())))

    async def _discover(self, told: tuple[str, ...]) -> None:
        try:
            await mdns.discover(self._host.peer, told, self._discovered)
        except OSError as error:
            self._outside.warn(f"members on the local network are not looked for: {error.strerror or 'no multicast'}")

    def _discovered(self, peer: str, addresses: Sequence[str]) -> None:
        now = trio.current_time()
        self.book.learn(peer, addresses, now)
        if not self._bootstrap and not self.members.hubs():  # nobody else will bring these two together
            self.book.hurry(now)

    async def meet(self, link: Link) -> Ended:
        """Introduce, admit and serve one link until it ends; says how it did."""
        try:
            ended = await self._meet(link)
        except Exception as error:  # noqa: BLE001  # fail open: what goes wrong with one peer is that peer's session
            self.members.counters["internal"] += 1
            self._outside.warn(f"the session with a peer ended by an internal error ({fault(error)})")
            return Ended(Reason.BROKEN)
        self._complain(link, ended)
        return ended

    async def _meet(self, link: Link) -> Ended:
        limits = self._config.limits
        incoming = Incoming(link)
        try:
            member = await introduce(link, incoming, self._host.peer, self._card, self._config.membership_keys, limits)
            member = replace(member, addresses=multiaddrs.proved(link.address, link.dialled, member.addresses))
            session = Session(link, incoming, member, limits, self._handle)
            await self._admit(session)
        except Ended as refused:
            self.members.remember(link.peer, link.address, link.dialled, refused)
            return refused
        ended = Ended(Reason.LEAVING)
        try:
            ended = await session.run(partial(self._welcome, session))
        finally:
            if self.members.leave(session, ended):
                self.exchange.left(session)
                self.leases.left(session)
                self.roster.left(session)
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
        self.leases.joined(session)

    async def _welcome(self, session: Session) -> None:
        """Invalidations first: what is announced after them was proved after them."""
        await self.drops.joined(session)
        await self.quotas.joined(session)
        await self.roster.joined(session)
        await self.exchange.joined(session)

    def _handle(self, session: Session, frame: AnyFrame) -> None:
        self._handlers[type(frame)](session, frame)

    async def _accept(self, link: Link) -> None:
        await self.meet(link)

    def _complain(self, link: Link, ended: Ended) -> None:
        """Say what somebody should do something about; of bootstrap peers that were never met the dialler does."""
        if link.dialled and not ended.met:
            return
        if line := self._complaints.line(link.peer, link.address, ended, trio.current_time()):
            self._outside.warn(line)
