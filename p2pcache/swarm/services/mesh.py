"""The swarm of one node: every link is introduced, admitted, served and dismissed here. Trio side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import trio

from p2pcache.addresses import Address
from p2pcache.swarm.protocol.handshake import Card, Member
from p2pcache.swarm.rules import multiaddrs
from p2pcache.swarm.rules.admitted import Gatekeeper, TokenSource
from p2pcache.swarm.rules.config import PeerRow, SwarmConfig, SwarmError
from p2pcache.swarm.rules.directory import Directory
from p2pcache.swarm.rules.identity import Identity
from p2pcache.swarm.rules.peer_warnings import PeerWarnings
from p2pcache.swarm.rules.reasons import Ended, Reason, fault
from p2pcache.swarm.services import mdns
from p2pcache.swarm.services.dialer import Dialer
from p2pcache.swarm.services.interfaces import interfaces
from p2pcache.swarm.services.introduction import Incoming, farewell, introduce
from p2pcache.swarm.services.link import Host, Link
from p2pcache.swarm.services.local_node import LocalNode
from p2pcache.swarm.services.room import Room
from p2pcache.swarm.services.rooms import Rooms
from p2pcache.swarm.services.session import Session

_GOODBYE = 0.5
_ADDRESS_BOOK_BYTES = 1 << 20


class Mesh(Room):
    """Everything that happens in the swarm's thread: this node's own room, and the way into it and others.

    Args:
        config: how this node takes part.
        bootstrap: `config.bootstrap`, parsed.
        host: the transport.
        node: the rest of the node.
        directory: shared with the tier, which reads it from its own thread.
        me: this node's key.
        token: where this node gets the OIDC tokens from that a hub asks for; None: it has the secret.
        admit: what an OIDC token proves, on a hub that admits by it.
    """

    def __init__(
        self,
        config: SwarmConfig,
        bootstrap: tuple[Address, ...],
        host: Host,
        node: LocalNode,
        directory: Directory,
        me: Identity,
        token: TokenSource | None = None,
        admit: Gatekeeper | None = None,
    ) -> None:
        super().__init__(config.limits, node, directory, me, hub=config.hub)
        self._config = config
        self._bootstrap = bootstrap
        self._host = host
        self._node = node
        self._card = Card(config.hub, ())
        self._warnings = PeerWarnings()
        self.port = 0
        """What this node listens at, once it does."""
        self.rooms = None
        if admit is not None:
            self.rooms = Rooms(config.limits, me, node, admit, self.members.activity)
        self.dialer = Dialer(host, self.members, self.book, node, self.meet, token)

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
            nursery.start_soon(self.run_services)
            if self.rooms is not None:
                nursery.start_soon(self.rooms.run)
            for address in self._bootstrap:
                nursery.start_soon(self.dialer.bootstrap, address)
            nursery.start_soon(self.dialer.explore)
            nursery.start_soon(self.dialer.remember, path)
            if self._config.mdns:
                nursery.start_soon(self._discover, announced)
            started(tuple(f"{address}/p2p/{self._host.peer}" for address in announced))

    def rows(self) -> list[PeerRow]:
        """Return the table of `p2pcache peers`, with the members of all rooms. Any thread may call this."""
        found = self.members.rows(self.directory.announced)
        for label, room in self.rooms or ():
            rows = room.members.rows(room.directory.announced)
            found += [msgspec.structs.replace(row, repository=label) for row in rows]
        return found

    def sessions(self) -> list[Session]:
        """Return the open sessions, of all rooms too. Any thread may call this."""
        return [*self.members, *(self.rooms.sessions() if self.rooms is not None else ())]

    async def leave(self) -> None:
        """Say goodbye to all members, so that none has to take the end of this node for a failure."""
        sessions = self.sessions()
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

    async def meet(self, link: Link, token: str = "") -> Ended:
        """Introduce, admit and serve one link until it ends; return how it did.

        Args:
            link: to a peer that has not proved anything yet.
            token: an OIDC token for the hub that was dialled, if this node needs one.
        """
        try:
            ended = await self._meet(link, token)
        except Exception as error:  # noqa: BLE001  # fail open: what goes wrong with one peer is that peer's session
            self.members.counters["internal"] += 1
            self._node.warn(f"the session with a peer ended by an internal error ({fault(error)})")
            return Ended(Reason.BROKEN)
        self._warn(link, ended)
        return ended

    def rotate(self, membership_keys: tuple[bytes, ...]) -> None:
        """Use other membership keys for every handshake from now on."""
        self._config = replace(self._config, membership_keys=membership_keys)

    async def _meet(self, link: Link, token: str) -> Ended:
        limits = self._config.limits
        incoming = Incoming(link)
        keys = self._config.membership_keys
        admit = None if self.rooms is None else partial(self.rooms.verified, link.peer)
        try:
            member = await introduce(link, incoming, self._host.peer, self._card, keys, limits, token, admit)
            room = await self._room_of(member, link)
            shown = multiaddrs.proved(link.address, link.dialled, member.addresses, interfaces())
            session = Session(link, incoming.decoder, replace(member, addresses=shown), limits, room.on_message)
            return await room.attend(session)
        except Ended as refused:
            self.members.remember(link.peer, link.address, link.dialled, refused)
            return refused

    async def _room_of(self, member: Member, link: Link) -> Room:
        if member.admitted is None:
            return self
        assert self.rooms is not None  # noqa: S101  # it admitted the member
        try:
            return self.rooms.of(member.admitted)
        except Ended as ended:
            await farewell(link, ended.reason)
            raise

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
