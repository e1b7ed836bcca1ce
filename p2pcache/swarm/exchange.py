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
from p2pcache.swarm import activity
from p2pcache.swarm.batch import Batch
from p2pcache.swarm.directory import Directory
from p2pcache.swarm.frames import Get, Have, Miss, announcements, encode, heard
from p2pcache.swarm.members import Members
from p2pcache.swarm.outside import Outside
from p2pcache.swarm.reasons import Reason
from p2pcache.swarm.scoring import Budget
from p2pcache.swarm.session import PER_MIB, Forged, Session
from p2pcache.swarm.trace import Trace

ANNOUNCE_DELAY = 0.005
WARM = 2 << 20
_ATTEMPTS = 3
_UNKNOWN_LATENCY = 0.02


@dataclass(slots=True)
class _Transfer:
    """A block being fetched, for all who want it."""

    done: trio.Event = field(default_factory=trio.Event)
    sealed: bytes | None = None


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


class Exchange:
    """Everything about blocks.

    Args:
        members: whom to ask and tell.
        directory: what they announced.
        outside: the node's store.
    """

    def __init__(self, members: Members, directory: Directory, outside: Outside) -> None:
        self._members = members
        self._limits = members.limits
        self._directory = directory
        self._outside = outside
        self._budget = Budget(self._limits.in_flight)
        self._telling: dict[Session | None, list[Pointer]] = {}
        self._batch = Batch(ANNOUNCE_DELAY, self._tell)
        self._transfers: dict[bytes, _Transfer] = {}
        self._warm = _Warm()
        self._keeping: deque[Pointer] = deque(maxlen=self._limits.hub_backlog)
        self.trace = Trace()
        self._idle = trio.lowlevel.ParkingLot()  # the hub's fetchers with nothing to do

    async def run(self) -> None:
        """For ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._batch.run)
            if self._members.hub:
                for _ in range(self._limits.hub_fetches):
                    nursery.start_soon(self._keep)

    def announce(self, pointers: Iterable[Pointer], source: Session | None = None) -> None:
        """Tell all members (but `source`) that this node can deliver these."""
        self._telling.setdefault(source, []).extend(pointers)
        self._batch.wake()

    async def joined(self, session: Session) -> None:
        """Give a joiner the snapshot: what the node holds, and on a hub what it can get."""
        room = self._limits.directory_per_peer
        held = await self._outside.snapshot(room)
        if self._members.hub:
            held += self._directory.pointers()[: room - len(held)]
        for frame in announcements(held):
            await session.send_slowly(frame)

    def left(self, session: Session) -> None:
        """Nobody asks for what only this peer had."""
        self._directory.remove_peer(session.peer)
        self._telling.pop(session, None)

    def have(self, session: Session, frame: Have) -> None:
        """A peer announces."""
        if not session.announcing.take(len(frame.pointers), trio.current_time()):
            session.end(Reason.FLOOD)
            return
        now = time.time()
        pointers = [heard(pointer, session.member.skew, now) for pointer in frame.pointers]
        news = [pointer for pointer in pointers if self._directory.add(pointer, session.peer)]
        if self._members.hub and news:
            self.announce(news, session)
            self._keeping.extend(news)
            self._idle.unpark_all()

    def get(self, session: Session, frame: Get) -> None:
        """A peer asks for a block."""
        if session.serving >= self._limits.gets:
            self._members.counters["busy"] += 1
            session.send(encode(Miss(frame.id)))
            return
        session.serving += 1
        session.start(partial(self._serve, session, frame))

    async def fetch(self, cid: bytes, size: int, but: str = "") -> bytes | None:
        """The block from whichever peer (but `but`) can deliver it, within the peer deadline; else None.

        Callers for one block at the same time share one transfer. A block of more than a few hundred KB may take
        100 ms a MiB longer.
        """
        transfer = self._transfers.get(cid)
        if transfer is not None:
            with trio.move_on_after(self._patience(size)):
                await transfer.done.wait()
            return transfer.sealed
        if not self._budget.take(size):
            self._members.counters["busy"] += 1
            return None
        transfer = self._transfers[cid] = _Transfer()
        try:
            with trio.move_on_after(self._patience(size)):
                await self._race(transfer, cid, size, but)
        finally:
            self._budget.give(size)
            del self._transfers[cid]
            transfer.done.set()
        return transfer.sealed

    async def _race(self, transfer: _Transfer, cid: bytes, size: int, but: str) -> None:
        """Ask the best holder; when it fails, or half its time has passed in silence, the next one too."""
        send, results = trio.open_memory_channel[Session](_ATTEMPTS)
        running: dict[Session, float] = {}
        async with trio.open_nursery() as nursery:
            for session in [*self._holders(cid, but), None]:
                if session is not None:
                    running[session] = time.monotonic()
                    nursery.start_soon(self._attempt, session, cid, size, transfer, send)
                with trio.move_on_after(math.inf if session is None else session.score.deadline() / 2):
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
        cid: bytes,
        size: int,
        transfer: _Transfer,
        finished: trio.MemorySendChannel[Session],
    ) -> None:
        said = "gave other bytes than it had announced"
        began = time.monotonic()
        try:
            sealed = await session.get(cid, size)
            newer = self._members.get(session.peer)
            if sealed is None and newer is not None and newer is not session:
                sealed = await newer.get(cid, size)  # another connection to the peer took the place of this one
        except trio.TooSlowError:
            self._members.counters["peer_timeout"] += 1
            said = "was asked and did not answer in time"
        except Forged:
            self._members.counters["garbage"] += 1
            self._directory.remove(cid, session.peer)
        else:
            if sealed is None:
                self._members.counters["peer_miss"] += 1
                self._directory.remove(cid, session.peer)
            said = "had announced it, but has it no more"
            if sealed is not None:
                said = f"gave it in {(time.monotonic() - began) * 1000:.0f} ms"
            transfer.sealed = transfer.sealed or sealed
        self.trace.note(cid, session.peer, said)
        finished.send_nowait(session)

    def _holders(self, cid: bytes, but: str) -> list[Session]:
        now = time.monotonic()
        found = [session for peer in self._directory.holders(cid) if (session := self._members.get(peer))]
        fit = [session for session in found if session.peer != but and session.score.usable(now)]
        random.shuffle(fit)  # equals share the load
        return sorted(fit, key=lambda session: session.score.latency or _UNKNOWN_LATENCY)[:_ATTEMPTS]

    def _patience(self, size: int) -> float:
        return self._limits.peer_deadline + PER_MIB * size / (1 << 20)

    async def _serve(self, session: Session, frame: Get) -> None:
        try:
            sealed = self._warm.get(frame.cid) or await self._outside.sealed(frame.cid)
            if sealed is None and (pointer := self._directory.lookup(frame.cid)):
                # For a member that has no link to the holder: it was told by this node, as hub or as arbiter.
                sealed = await self.fetch(frame.cid, pointer.size, but=session.peer)
                if sealed is not None:
                    self._members.activity.count(activity.RELAYED)
            if sealed is None or not self._budget.take(len(sealed)):
                session.send(encode(Miss(frame.id)))
                return
            self._warm.put(frame.cid, sealed)
            try:
                await session.send_block(frame.id, sealed)
                self._members.activity.count(activity.GIVEN)
            finally:
                self._budget.give(len(sealed))
        finally:
            session.serving -= 1

    async def _keep(self) -> NoReturn:
        """One of the hub's fetchers: whatever is announced is stored here, so that it outlives its announcer."""
        while True:
            while not self._keeping:
                await self._idle.park()
            pointer = self._keeping.popleft()
            sealed = await self._outside.sealed(pointer.cid) or await self.fetch(pointer.cid, pointer.size)
            if sealed is not None:
                await self._outside.keep(pointer, sealed)
                self._members.activity.count(activity.KEPT)

    def _tell(self) -> None:
        telling, self._telling = self._telling, {}
        for source, pointers in telling.items():
            for frame in announcements(pointers):
                self._members.broadcast(frame, but=source)
