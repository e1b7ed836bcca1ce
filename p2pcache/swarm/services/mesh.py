"""The swarm of one node: every link is introduced, admitted, served and dismissed here. Trio side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import assert_never

import trio

from p2pcache.addresses import Address
from p2pcache.swarm.protocol import frames
from p2pcache.swarm.protocol.frames import Message
from p2pcache.swarm.protocol.handshake import Card
from p2pcache.swarm.rules import multiaddrs
from p2pcache.swarm.rules.address_book import AddressBook
from p2pcache.swarm.rules.config import SwarmConfig, SwarmError
from p2pcache.swarm.rules.directory import Directory
from p2pcache.swarm.rules.identity import Identity
from p2pcache.swarm.rules.peer_warnings import PeerWarnings
from p2pcache.swarm.rules.reasons import Ended, Reason, fault
from p2pcache.swarm.services import mdns
from p2pcache.swarm.services.blocks import BlockExchange
from p2pcache.swarm.services.dialer import Dialer
from p2pcache.swarm.services.gossip import Quotas, Roster
from p2pcache.swarm.services.interfaces import interfaces
from p2pcache.swarm.services.introduction import Incoming, farewell, introduce
from p2pcache.swarm.services.invalidations import Invalidations
from p2pcache.swarm.services.lease_client import LeaseClient
from p2pcache.swarm.services.link import Host, Link
from p2pcache.swarm.services.local_node import LocalNode
from p2pcache.swarm.services.members import Members
from p2pcache.swarm.services.session import Session

_GOODBYE = 0.5
_ADDRESS_BOOK_BYTES = 1 << 20


class Mesh:
    """Everything that happens in the swarm's thread.

    Args:
        config: how this node takes part.
        bootstrap: `config.bootstrap`, parsed.
        host: the transport.
        node: the rest of the node.
        directory: shared with the tier, which reads it from its own thread.
        me: this node's key.
    """

    def __init__(
        self,
        config: SwarmConfig,
        bootstrap: tuple[Address, ...],
        host: Host,
        node: LocalNode,
        directory: Directory,
        me: Identity,
    ) -> None:
        limits = config.limits
        self._config = config
        self._bootstrap = bootstrap
        self._host = host
        self._node = node
        self._card = Card(config.hub, ())
        self._warnings = PeerWarnings()
        self.port = 0
        """What this node listens at, once it does."""
        self.members = Members(host.peer, limits, node.changed, hub=config.hub)
        self.book = AddressBook(host.peer, limits.known, limits.dial_turns)
        self.blocks = BlockExchange(self.members, directory, node)
        self.leases = LeaseClient(self.members, directory, node, me)
        self.invalidations = Invalidations(self.members, directory, node, self.leases.arbiter, me)
        self.quotas = Quotas(self.members, node)
        self.roster = Roster(self.members, self.book)
        self.dialer = Dialer(host, self.members, self.book, node, self.meet)

    async def run(self, started: Callable[[tuple[str, ...]], None]) -> None:
        """Run until cancelled. `started` gets the multiaddrs that reach this node, once it listens.

        Raises:
            SwarmError: the address cannot be listened on.
        """
        announced = await self._listen()
        self._card = Card(self._config.hub, announced[:8])
        path = self._config.identity.with_name(self._config.identity.name + ".peers")
        self.book.restore(_read(path), trio.current_time())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._host.serve, self._accept)
            for part in (self.blocks, self.leases, self.quotas, self.roster):
                nursery.start_soon(part.run)
            for address in self._bootstrap:
                nursery.start_soon(self.dialer.bootstrap, address)
            nursery.start_soon(self.dialer.explore)
            nursery.start_soon(self.dialer.remember, path)
            if self._config.mdns:
                nursery.start_soon(self._discover, announced)
            started(tuple(f"{address}/p2p/{self._host.peer}" for address in announced))

    async def leave(self) -> None:
        """Say goodbye to all members, so that none has to take the end of this node for a failure."""
        sessions = list(self.members)
        for session in sessions:
            session.end(Reason.LEAVING)
        with trio.move_on_after(_GOODBYE):
            for session in sessions:
                await session.closed.wait()

    async def _listen(self) -> tuple[str, ...]:
        """Listen, and return where others reach this node."""
        announce = self._config.announce
        try:
            listening = await self._host.bind()
        except SwarmError:
            if self._config.hub:  # members look for a hub where the configuration places it
                raise
            listening = await self._host.bind(any_port=True)
            self._node.warn(f"{self._config.listen} cannot be had: the swarm listens on {listening} instead")
            announce = ()  # those addresses lead to the process that has that port
        self.port = listening.port
        return announce or tuple(map(str, multiaddrs.announced(listening, interfaces())))

    async def _discover(self, announced: tuple[str, ...]) -> None:
        try:
            await mdns.discover(self._host.peer, announced, self._on_discovered)
        except OSError as error:
            self._node.warn(f"members on the local network are not looked for: {error.strerror or 'no multicast'}")

    def _on_discovered(self, peer: str, addresses: Sequence[str]) -> None:
        now = trio.current_time()
        self.book.learn(peer, addresses, now)
        if not self._bootstrap and not self.members.hubs():  # no hub will bring these two together
            self.book.hurry(now)

    async def meet(self, link: Link) -> Ended:
        """Introduce, admit and serve one link until it ends; return how it did."""
        try:
            ended = await self._meet(link)
        except Exception as error:  # noqa: BLE001  # fail open: what goes wrong with one peer is that peer's session
            self.members.counters["internal"] += 1
            self._node.warn(f"the session with a peer ended by an internal error ({fault(error)})")
            return Ended(Reason.BROKEN)
        self._warn(link, ended)
        return ended

    def rotate(self, membership_keys: tuple[bytes, ...]) -> None:
        """Use other membership keys for every handshake from now on."""
        self._config = replace(self._config, membership_keys=membership_keys)

    async def _meet(self, link: Link) -> Ended:
        limits = self._config.limits
        incoming = Incoming(link)
        try:
            member = await introduce(link, incoming, self._host.peer, self._card, self._config.membership_keys, limits)
            shown = multiaddrs.proved(link.address, link.dialled, member.addresses, interfaces())
            session = Session(link, incoming.decoder, replace(member, addresses=shown), limits, self._on_message)
            await self._admit(session)
        except Ended as refused:
            self.members.remember(link.peer, link.address, link.dialled, refused)
            return refused
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

    def _on_message(self, session: Session, frame: Message) -> None:  # one line a frame
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

    async def _accept(self, link: Link) -> None:
        await self.meet(link)

    def _warn(self, link: Link, ended: Ended) -> None:
        """Log what an operator can mend; of bootstrap peers that were never met the dialler does."""
        if link.dialled and not ended.met:
            return
        if sentence := self._warnings.sentence(link.peer, link.address, ended, trio.current_time()):
            self._node.warn(sentence)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()[:_ADDRESS_BOOK_BYTES]
    except OSError:
        return b""
