"""Blocks: announcing what is held, fetching from the best holder, serving, and what a hub keeps. Trio side."""

from __future__ import annotations

import math
import random
import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

import trio

from p2pcache.cache.entry import Pointer
from p2pcache.clock import unix_time
from p2pcache.swarm.protocol.frames import Get, Have, Miss, announcements, encode, received
from p2pcache.swarm.rules.directory import Directory, Holding
from p2pcache.swarm.rules.scoring import Budget, TokenBucket
from p2pcache.swarm.services import activity
from p2pcache.swarm.services.batch import Batch
from p2pcache.swarm.services.fetch_log import FetchLog
from p2pcache.swarm.services.local_node import LocalNode
from p2pcache.swarm.services.members import Members
from p2pcache.swarm.services.session import PER_MIB, Forged, Session

ANNOUNCE_DELAY = 0.005
WARM = 2 << 20
_ATTEMPTS = 3
_SHARES = 4
_PASSING, _TURN = 1024, 64
"""Pointers of one member that wait to be passed on, and how many of them go before another's."""
_UNKNOWN_LATENCY = 0.02

_Holder = tuple[Session, Holding]
_Kept = tuple[str, bytes, bytes]
"""The member that announced it, its CID, and the resource's name."""


@dataclass(slots=True)
class _Transfer:
    """A block being fetched, for all callers that want it."""

    done: trio.Event = field(default_factory=trio.Event)
    sealed: bytes | None = None
    cancelled: bool = False


class _Warm:
    """Blocks served just now: after a burst all members ask for the same ones. Bounded in bytes."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, bytes] = OrderedDict()
        self._size = 0

    def get(self, cid: bytes) -> bytes | None:
        return self._blocks.get(cid)

    def put(self, cid: bytes, sealed: bytes) -> None:
        if cid not in self._blocks and len(sealed) <= WARM:
            self._blocks[cid] = sealed
            self._size += len(sealed)
            while self._size > WARM:
                self._size -= len(self._blocks.popitem(last=False)[1])


class BlockExchange:
    """Everything about blocks.

    Args:
        members: the peers.
        directory: what they announced.
        node: the node's store.
    """

    def __init__(self, members: Members, directory: Directory, node: LocalNode) -> None:
        self._members = members
        self._limits = members.limits
        self._directory = directory
        self._node = node
        self._budget = Budget(self._limits.in_flight)
        self._announcing: list[Pointer] = []
        self._passing: dict[Session | None, deque[Pointer]] = {}
        self._passed = TokenBucket(self._limits.announce_rate / 2, self._limits.announce_burst / 4)
        self._batch = Batch(ANNOUNCE_DELAY, self._flush)
        self._transfers: dict[bytes, _Transfer] = {}
        self._warm = _Warm()
        self._keeping: deque[_Kept] = deque(maxlen=self._limits.hub_backlog)
        self.log = FetchLog()
        self._idle = trio.lowlevel.ParkingLot()  # the hub's fetchers with nothing to do

    async def run(self) -> None:
        """Announce, and on a hub keep, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._batch.run)
            if self._members.hub:
                for _ in range(self._limits.hub_fetches):
                    nursery.start_soon(self._keep)

    def announce(self, pointers: Iterable[Pointer]) -> None:
        """Announce to all members that this node can deliver these."""
        self._announcing.extend(pointers)
        self._batch.wake()

    def pass_on(self, pointers: Iterable[Pointer], source: Session | None) -> None:
        """Announce to all members but `source`, on a hub; of what comes faster than that goes the oldest is lost.

        `source` is None for what comes from another room.
        """
        self._passing.setdefault(source, deque(maxlen=_PASSING)).extend(pointers)
        self._batch.wake()

    async def on_join(self, session: Session) -> None:
        """Send a joiner the snapshot: what the node holds, and on a hub what it can get."""
        room = self._limits.snapshot
        held = await self._node.snapshot(room)
        if self._members.hub:
            held += self._directory.pointers()[: room - len(held)]
        for frame in announcements(held):
            await session.send_slowly(frame)

    def on_leave(self, session: Session) -> None:
        """Forget what only this peer had."""
        self._directory.remove_peer(session.peer)
        self._passing.pop(session, None)

    def on_have(self, session: Session, frame: Have) -> None:
        """Take what a peer announces."""
        now = unix_time()
        pointers = [received(pointer, session.member.skew, now) for pointer in frame.pointers]
        news = [pointer for pointer in pointers if self._directory.add(pointer, session.peer)]
        if self._members.hub and news:
            self.pass_on(news, session)
            self._keeping.extend((session.peer, pointer.cid, pointer.name) for pointer in news)
            self._idle.unpark_all()

    def on_get(self, session: Session, frame: Get) -> None:
        """Serve a block that a peer asks for."""
        if session.serving >= self._limits.gets:
            self._members.counters["busy"] += 1
            session.send(Miss(frame.id))
            return
        session.serving += 1
        session.start(partial(self._serve, session, frame))

    async def fetch(self, cid: bytes, exclude: str = "") -> bytes | None:
        """Return the block from any peer but `exclude` that can deliver it within the peer deadline; else None.

        Callers for one block at the same time share one transfer. A block of more than a few hundred KB may take
        100 ms a MiB longer.
        """
        holders = self._holders(cid, exclude)
        size = max((holding.size for _, holding in holders), default=0)
        until = trio.current_time() + self._patience(size)
        while (transfer := self._transfers.get(cid)) is not None:
            with trio.move_on_at(until):
                await transfer.done.wait()
            if not transfer.cancelled:
                return transfer.sealed
        if not holders:
            return None
        transfer = self._transfers[cid] = _Transfer()
        try:
            with trio.move_on_after(self._patience(size)):
                await self._race(transfer, cid, holders)
        except BaseException:  # cancelled: the first that waits for it goes on in its place
            transfer.cancelled = True
            raise
        finally:
            del self._transfers[cid]
            transfer.done.set()
        return transfer.sealed

    async def _race(self, transfer: _Transfer, cid: bytes, holders: list[_Holder]) -> None:
        """Ask the best holder; when it fails, or half its time has passed in silence, the next one too."""
        send, results = trio.open_memory_channel[Session](_ATTEMPTS)
        running: dict[Session, float] = {}
        async with trio.open_nursery() as nursery:
            for holder in [*holders, None]:
                if holder is not None:
                    running[holder[0]] = time.monotonic()
                    nursery.start_soon(self._attempt, *holder, cid, transfer, send)
                with trio.move_on_after(math.inf if holder is None else holder[0].score.deadline() / 2):
                    while running and transfer.sealed is None:
                        del running[await results.receive()]
                if transfer.sealed is not None:
                    break
            nursery.cancel_scope.cancel()
        for session, asked_at in running.items():  # overtaken although it began earlier
            session.score.timed_out(time.monotonic(), asked_at)

    async def _attempt(
        self,
        session: Session,
        holding: Holding,
        cid: bytes,
        transfer: _Transfer,
        finished: trio.MemorySendChannel[Session],
    ) -> None:
        if not self._budget.take(holding.size):
            self._members.counters["busy"] += 1
            finished.send_nowait(session)
            return
        outcome = "gave other bytes than it had announced"
        began = time.monotonic()
        try:
            sealed = await session.get(cid, holding.size)
            newer = self._members.get(session.peer)
            if sealed is None and newer is not None and newer is not session:
                sealed = await newer.get(cid, holding.size)  # another connection to the peer took this one's place
        except trio.TooSlowError:
            self._members.counters["peer_timeout"] += 1
            outcome = "was asked and did not answer in time"
        except Forged:
            self._members.counters["garbage"] += 1
            self._directory.remove(cid, session.peer)
        else:
            outcome = "had announced it, but has it no more"
            if sealed is None:
                self._members.counters["peer_miss"] += 1
                self._directory.remove(cid, session.peer)
                if holding.announced and session.running and session.peer not in self._members.hubs():
                    session.score.missed(time.monotonic())  # its own word, not hearsay, nor what it announced to a hub
            else:
                outcome = f"gave it in {(time.monotonic() - began) * 1000:.0f} ms"
            transfer.sealed = transfer.sealed or sealed
        finally:
            self._budget.give(holding.size)
        self.log.note(cid, session.peer, outcome)
        finished.send_nowait(session)

    def _holders(self, cid: bytes, exclude: str) -> list[_Holder]:
        now = time.monotonic()
        found = [
            (session, holding)
            for peer, holding in self._directory.holders(cid).items()
            if peer != exclude
            and holding.size <= self._limits.block
            and (session := self._members.get(peer))
            and session.score.usable(now)
        ]
        random.shuffle(found)  # equals share the load
        return sorted(found, key=lambda holder: holder[0].score.latency or _UNKNOWN_LATENCY)[:_ATTEMPTS]

    def _patience(self, size: int) -> float:
        return self._limits.peer_deadline + PER_MIB * size / (1 << 20)

    async def _serve(self, session: Session, frame: Get) -> None:
        try:
            sealed = self._warm.get(frame.cid) or await self._node.sealed(frame.cid)
            if sealed is None:
                # For a member that has no link to the holder: this node, as hub or as arbiter, named the block to it.
                sealed = await self.fetch(frame.cid, exclude=session.peer)
                if sealed is not None:
                    self._members.activity.count(activity.RELAYED)
            if sealed is None or not self._sendable(session, len(sealed)):
                session.send(Miss(frame.id))
                return
            self._warm.put(frame.cid, sealed)
            session.sending += len(sealed)
            try:
                # The peer does not wait for longer, so one that reads a byte now and then is not served for ever.
                with trio.move_on_after(self._limits.write_timeout + self._patience(len(sealed))):
                    await session.send_block(frame.id, sealed)
                    self._members.activity.count(activity.GIVEN)
            finally:
                session.sending -= len(sealed)
                self._budget.give(len(sealed))
        finally:
            session.serving -= 1

    def _sendable(self, session: Session, size: int) -> bool:
        """Return whether there is room in flight; one peer may have a share of it (or one block, if that is larger)."""
        share = self._limits.in_flight // _SHARES
        return (not session.sending or session.sending + size <= share) and self._budget.take(size)

    async def _keep(self) -> NoReturn:
        """Store what is announced, so that it outlives its announcer: one of the hub's fetchers."""
        while True:
            while not self._keeping:
                await self._idle.park()
            peer, cid, name = self._keeping.popleft()
            pointer = next((pointer for pointer in self._directory.find(name) if pointer.cid == cid), None)
            session = self._members.get(peer)
            if pointer is None or session is None:
                continue
            sealed = await self._node.sealed(cid) or await self.fetch(cid)
            # One member does not push what others made out of the hub's store.
            if sealed is not None and session.keeping.take(len(sealed), trio.current_time()):
                await self._node.keep(pointer, sealed)
                self._members.activity.count(activity.KEPT)

    def _flush(self) -> None:
        announced, self._announcing = self._announcing, []
        for frame in announcements(announced):
            self._members.broadcast(frame)
        self._flush_passing()

    def _flush_passing(self) -> None:
        """Pass on, members taking turns, no faster than any member accepts: a hub must not pass for one that floods."""
        now = trio.current_time()
        while self._passing:
            source, waiting = next(iter(self._passing.items()))
            turn = [waiting.popleft() for _ in range(min(len(waiting), _TURN))]
            frames = [encode(frame) for frame in announcements(turn)]
            if not self._passed.take(sum(map(len, frames)), now):
                waiting.extendleft(reversed(turn))
                self._batch.wake()  # in a moment there is more to spend
                return
            del self._passing[source]
            if waiting:
                self._passing[source] = waiting
            for frame in frames:
                self._members.hint(frame, Have.since, exclude=source)
