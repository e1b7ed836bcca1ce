"""The rooms of a hub that admits by OIDC: one for each repository's trusted jobs, one for each context of others.

A room has members, directory, leases, invalidations, quotas and kept blocks of its own, so nothing in it can name what
another holds. What is kept in the room of a repository's trusted jobs is sealed anew for those rooms that may read it:
resources and topics have the same names there, blocks other keys, and other CIDs. Trio side.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import msgspec
import trio

from p2pcache.cache.codec import cid_of
from p2pcache.cache.entry import Pointer
from p2pcache.cache.sealing import Keyring, SealedKind, SealError
from p2pcache.clock import unix_time
from p2pcache.swarm.rules.admitted import Admitted, Gatekeeper
from p2pcache.swarm.rules.config import Limits
from p2pcache.swarm.rules.directory import Directory
from p2pcache.swarm.rules.identity import Identity
from p2pcache.swarm.rules.kept_blocks import KeptBlocks
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.swarm.services.activity import Activity
from p2pcache.swarm.services.local_node import LocalNode
from p2pcache.swarm.services.room import Room
from p2pcache.swarm.services.session import Session

MOST_ROOMS = 64
MOST_READERS = 8
"""Rooms that read one source: a repository with many pull requests takes no place from others."""
_BLOCKS, _POINTERS = 16 << 20, 4 << 20
"""Bytes that a room keeps."""
_DIRECTORY, _DIRECTORY_PER_PEER = 16 << 20, 4 << 20


class RoomNode:
    """The hub as one room sees it: implements `LocalNode` by what it keeps.

    Args:
        hub: logs.
        keyring: the room's.
        shared: the names of the scope whose entries other rooms may read.
        drops: topics whose invalidation is remembered.
    """

    def __init__(self, hub: LocalNode, keyring: Keyring, shared: frozenset[bytes], drops: int) -> None:
        self.kept = KeptBlocks(_BLOCKS, _POINTERS, drops)
        self.readers: list[Reader] = []
        self.keyring = keyring
        self.shared = shared
        self._hub = hub

    async def sealed(self, cid: bytes) -> bytes | None:
        """See `LocalNode`."""
        return self.kept.sealed(cid)

    async def keep(self, pointer: Pointer, sealed: bytes) -> None:
        """See `LocalNode`."""
        if self.kept.put(pointer, sealed):
            for reader in self.readers:
                reader.take(pointer, sealed)

    async def snapshot(self, bound: int) -> list[Pointer]:
        """See `LocalNode`."""
        return self.kept.pointers()[:bound]

    async def dropped(self, topics: Collection[bytes], scope: bytes | None, until: float) -> None:
        """See `LocalNode`."""
        self.kept.drop(topics, scope, min(until, unix_time()))
        for reader in self.readers:
            reader.drop(topics, until)

    def quota(self, scope: bytes, state: bytes) -> None:
        """See `LocalNode`: a hub makes no calls in a repository's name."""

    def warn(self, message: str) -> None:
        """See `LocalNode`."""
        self._hub.warn(message)

    def changed(self, members: int) -> None:
        """See `LocalNode`: the hub counts the members of its own swarm."""

    def silence(self) -> float:
        """See `LocalNode`: there is no other thread to hang."""
        return 0.0


class Reader:
    """One way: what the source keeps, sealed anew for a room that may read it, and what it drops.

    Args:
        source: of the repository's trusted jobs.
        room: that reads.
        node: its node.
        nursery: runs what takes a while.
    """

    def __init__(self, source: RoomNode, room: Room, node: RoomNode, nursery: trio.Nursery) -> None:
        self._source = source
        self._room = room
        self._node = node
        self._nursery = nursery

    def take(self, pointer: Pointer, sealed: bytes) -> None:
        """Seal a block anew, and announce it in the room that reads; one that does not open is passed over."""
        if pointer.scope not in self._source.shared:
            return
        try:
            opened = self._source.keyring.open(sealed, SealedKind.BLOCK)
        except SealError:  # of another API server than the hub's, or no block
            return
        anew = self._node.keyring.seal(opened, SealedKind.BLOCK)
        # The scope's name stays the source's, which no job in this room has: it is served after GitHub's 304 alone.
        copied = msgspec.structs.replace(pointer, cid=cid_of(anew), size=len(anew), by="")
        if self._node.kept.put(copied, anew):
            self._room.blocks.pass_on([copied], None)

    def drop(self, topics: Collection[bytes], until: float) -> None:
        """Have the room that reads forget what a trusted job's write may have changed."""
        self._node.kept.drop(topics, None, min(until, unix_time()))
        self._nursery.start_soon(self._room.invalidations.drop, topics, None)

    async def catch_up(self) -> None:
        """Take what the source holds already."""
        for pointer, sealed in reversed(self._source.kept.entries()):
            self.take(pointer, sealed)
            await trio.lowlevel.checkpoint()


class Rooms:
    """Opens rooms for admitted jobs, and keeps them while there is place.

    Args:
        limits: of each room, but for its directory's bounds.
        me: the hub's key.
        node: the hub; logs.
        gatekeeper: decides what an OIDC token proves.
        activity: of the hub, which counts what is done in its rooms too.
    """

    def __init__(
        self, limits: Limits, me: Identity, node: LocalNode, gatekeeper: Gatekeeper, activity: Activity
    ) -> None:
        directory, per_peer = min(limits.directory, _DIRECTORY), min(limits.directory_per_peer, _DIRECTORY_PER_PEER)
        self._limits = replace(limits, directory=directory, directory_per_peer=per_peer)
        self._me = me
        self._node = node
        self._gatekeeper = gatekeeper
        self._activity = activity
        self._open: dict[str, _Opened] = {}
        self._nursery: trio.Nursery | None = None

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[tuple[str, Room]]:
        return iter([(opened.label, opened.room) for opened in list(self._open.values())])

    def sessions(self) -> list[Session]:
        """Return the sessions of all rooms."""
        return [session for _, room in self for session in room.members]

    async def run(self) -> None:
        """Run the rooms' services, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await trio.sleep_forever()

    async def verified(self, peer: str, token: str) -> Admitted:
        """Return what the OIDC token proves that `peer` sent.

        Raises:
            Ended: nothing, or not enough.
        """
        return await self._gatekeeper(token, self._me.peer, peer)

    def of(self, admitted: Admitted) -> Room:
        """Return the room of an admitted job, opened now if need be.

        Raises:
            Ended: there are as many rooms with members as a hub has.
        """
        opened = self._open.pop(admitted.room, None) or self._opened(admitted)
        self._open[admitted.room] = opened  # the latest used is the last to give way
        opened.node.keyring, opened.node.shared = admitted.keyring, admitted.shared  # secrets rotate, names change
        return opened.room

    async def drop(self, topics: Sequence[str]) -> None:
        """Drop clear topics, which each room has other names for, in all rooms and at their members.

        Returns when their members have, or after each room's own deadline.
        """
        async with trio.open_nursery() as nursery:
            for opened in self._open.values():
                names = opened.node.keyring.topic_names(topics)
                opened.node.kept.drop(names, None, unix_time())
                nursery.start_soon(opened.room.invalidations.drop, names, None)

    def _opened(self, admitted: Admitted) -> _Opened:
        if self._nursery is None:
            raise Ended(Reason.FULL)
        source = admitted.reads.room if admitted.reads is not None else ""
        if source:
            self._make_place([name for name, other in self._open.items() if other.source == source], MOST_READERS)
        readers_first = sorted(self._open, key=lambda name: not self._open[name].source)
        self._make_place(readers_first, MOST_ROOMS)
        limits = self._limits
        node = RoomNode(self._node, admitted.keyring, admitted.shared, limits.drops)
        directory = Directory(limits.directory, limits.directory_per_peer, limits.drops)
        room = Room(limits, node, directory, self._me, hub=True, activity=self._activity)
        opened = _Opened(admitted.label, room, node, source, trio.CancelScope())
        self._nursery.start_soon(opened.run)
        self._connect(admitted.room, opened, self._nursery)
        return opened

    def _connect(self, name: str, new: _Opened, nursery: trio.Nursery) -> None:
        """Let a new room read its source, and those that are to read it do so."""
        pairs = [(self._open[new.source], new)] if new.source in self._open else []
        pairs += [(new, other) for other in self._open.values() if other.source == name]
        for source, reader in pairs:
            reading = Reader(source.node, reader.room, reader.node, nursery)
            source.node.readers.append(reading)
            reader.reading = (source, reading)
            nursery.start_soon(reading.catch_up)

    def _make_place(self, names: Sequence[str], most: int) -> None:
        """Close the first of these rooms that has no members, if they are as many as there may be.

        Raises:
            Ended: all have members.
        """
        if len(names) < most:
            return
        name = next((name for name in names if not len(self._open[name].room.members)), None)
        if name is None:
            raise Ended(Reason.FULL)
        closed = self._open.pop(name)
        closed.scope.cancel()
        if closed.reading is not None:
            source, reading = closed.reading
            source.node.readers.remove(reading)


class _Opened:
    """A room, its node, the name of the room that it reads or "", and what ends its services."""

    def __init__(self, label: str, room: Room, node: RoomNode, source: str, scope: trio.CancelScope) -> None:
        self.label = label
        self.room = room
        self.node = node
        self.source = source
        self.scope = scope
        self.reading: tuple[_Opened, Reader] | None = None

    async def run(self) -> None:
        """Run the room's services until it is closed."""
        with self.scope:
            await self.room.run_services()
