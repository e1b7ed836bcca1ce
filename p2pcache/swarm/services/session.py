"""One member's open stream: the trio side of `protocol.connection`, and requests with deadlines."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import trio

from p2pcache.clock import unix_time
from p2pcache.swarm.protocol.connection import Acknowledged, BlockBegun, BlockEnded, Closed, Connection, Event, Progress
from p2pcache.swarm.protocol.frames import AnyFrame, FrameDecoder, Message, Ping, Pong, encode, parts
from p2pcache.swarm.protocol.handshake import Member
from p2pcache.swarm.protocol.outbox import BULK
from p2pcache.swarm.rules.config import Limits
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.swarm.rules.scoring import Score, TokenBucket
from p2pcache.swarm.services.introduction import farewell
from p2pcache.swarm.services.link import Link, LinkError

PER_MIB = 0.1
"""Seconds more that a MiB of a block may take."""
_LAST_WRITE = 0.1
"""Seconds that a message under way may take when the session ends."""
_HINTS = 0.5
"""Of the queue's bound: hearsay does not bring a peer to where it is dropped."""


class Forged(Exception):  # noqa: N818  # the peer's deed, not this node's error
    """The bytes a peer sent are not those the CID names."""


class Session:
    """A proved member's open stream.

    Args:
        link: the stream after `introduce`.
        decoder: with what was read ahead.
        member: the other side.
        limits: bounds and deadlines.
        handle: gets every frame that is for the node.
    """

    def __init__(
        self,
        link: Link,
        decoder: FrameDecoder,
        member: Member,
        limits: Limits,
        handle: Callable[[Session, Message], None],
    ) -> None:
        self.peer = member.peer
        self.member = member
        self.link = link
        self.connection = Connection(member, limits, decoder, trio.current_time())
        self.since = unix_time()
        self.score = Score(0.9 * limits.peer_deadline)  # the caller, which waits all of it, has to see it pass
        self.keeping = TokenBucket(limits.hub_keep_rate, limits.hub_keep_burst)
        self.sending = 0
        self.blocks_in = self.bytes_in = self.bytes_out = 0
        self.serving = 0
        self.over: Ended | None = None
        self.closed = trio.Event()
        self._limits = limits
        self._handle = handle
        self._ready = trio.Event()
        self._places = trio.Semaphore(BULK)
        self._waiters: dict[Progress, trio.Event] = {}
        self._scope = trio.CancelScope()
        self._writing = trio.CancelScope()
        self._nursery: trio.Nursery | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._nursery is not None

    def token(self) -> int:
        """Return a number for a request that its answer will carry."""
        return self.connection.token()

    async def run(self, *first: Callable[[], Awaitable[None]]) -> Ended:
        """Run until the session is over; return why. `first` are run beside it from the beginning."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._guard, self._read)
                nursery.start_soon(self._guard, self._write)
                nursery.start_soon(self._guard, self._watch)
                for work in first:
                    nursery.start_soon(work)
        self._nursery = None
        for waiter in self._waiters.values():
            waiter.set()
        ended = self.over or Ended(Reason.LEAVING)
        if ended.ours:
            await farewell(self.link, ended.reason)
        return ended

    def end(self, reason: Reason) -> None:
        """End the session from this side."""
        self.over = self.over or Ended(reason)
        self._scope.cancel()

    def start(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` beside the session, until it is over."""
        if self._nursery is not None:
            self._nursery.start_soon(work)

    def send(self, frame: AnyFrame) -> bool:
        """Queue a frame; a peer whose queue is full is dropped."""
        return self.queue(encode(frame), frame.since)

    def queue(self, data: bytes, since: int) -> bool:
        """Queue an encoded frame of minor version `since`; as `send`."""
        return self._queued(self.connection.queue(data, since))

    def hint(self, data: bytes, since: int) -> bool:
        """Queue an encoded frame that the peer can do without, if it is not behind; return whether that was so."""
        queued = self.connection.queue(data, since, _HINTS)
        self._ready.set()
        return queued

    async def send_slowly(self, frame: AnyFrame) -> None:
        """Queue a frame of many; wait for a place."""
        await self._places.acquire()
        self.connection.outbox.put_bulk(encode(frame))
        self._ready.set()

    async def send_block(self, token: int, sealed: bytes) -> None:
        """Answer a `Get`; wait for places in the queue."""
        for part in parts(token, sealed):
            await self.send_slowly(part)
        self.bytes_out += len(sealed)

    async def get(self, cid: bytes, size: int) -> bytes | None:
        """Return the block `cid` names, or None when the peer has not got it.

        Raises:
            trio.TooSlowError: no first byte within the peer's deadline, or the rest not within 100 ms a MiB more.
            Forged: the bytes are others; the peer is dropped if that was once too often.
        """
        began, asked_at = trio.current_time(), time.monotonic()
        block = self.connection.fetch(cid, size)
        if block is None:
            self.end(Reason.DEAF)
            return None
        self._ready.set()
        begun, ended = (self._waiter(event(block.token)) for event in (BlockBegun, BlockEnded))
        try:
            deadline = self.score.deadline()
            with trio.fail_after(deadline):
                await begun.wait()
            first = trio.current_time() - began
            with trio.fail_after(max(0.0, deadline - first) + PER_MIB * size / (1 << 20)):  # late on a busy machine
                await ended.wait()
        except trio.TooSlowError:
            self.score.timed_out(time.monotonic(), asked_at)
            raise
        finally:
            self.connection.forget(block)
            del self._waiters[BlockBegun(block.token)], self._waiters[BlockEnded(block.token)]
        if not block.complete:
            return None
        if not block.is_named(cid):
            if self.score.forgery():
                self.end(Reason.BLOCKS)
            raise Forged
        self.score.answered(first)
        self.blocks_in += 1
        self.bytes_in += len(block.data)
        return bytes(block.data)

    def acknowledged(self, token: int) -> trio.Event:
        """Return what is set when the peer acknowledges `token`, or leaves. Forget it with `forget`."""
        return self._waiter(Acknowledged(token))

    def forget(self, token: int) -> None:
        """Stop waiting for that acknowledgement."""
        self._waiters.pop(Acknowledged(token), None)

    def ping(self) -> None:
        """Ask for a sign of life; `connection.heard` and `connection.rtt` show it."""
        self._queued(self.connection.ping(trio.current_time()))

    def _queued(self, queued: bool) -> bool:
        if queued:
            self._ready.set()
        else:
            self.end(Reason.DEAF)
        return queued

    def _waiter(self, event: Progress) -> trio.Event:
        return self._waiters.setdefault(event, trio.Event())

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Ended as ended:
            self.over = self.over or ended
        except LinkError:
            self.over = self.over or Ended(Reason.BROKEN)
        self._scope.cancel()

    async def _read(self) -> None:
        data = b""  # what came right after the handshake
        while True:
            self._on_events(self.connection.receive_data(data, trio.current_time()))
            data = await self.link.read()
            if not data:
                raise Ended(Reason.BROKEN)

    def _on_events(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case BlockBegun() | BlockEnded() | Acknowledged():
                    if (waiter := self._waiters.get(event)) is not None:
                        waiter.set()
                case Ping():
                    self.send(Pong(event.id))
                case Closed():
                    raise Ended(event.reason, ours=event.ours)
                case _:
                    self._handle(self, event)

    async def _write(self) -> None:
        while True:
            data, place = self.connection.outbox.take()
            if not data:
                self._ready = trio.Event()
                await self._ready.wait()
                continue
            if place:
                self._places.release()
            # Shielded: a message cut off half-way through its encryption makes all after it unreadable, a goodbye too.
            deadline = trio.current_time() + self._limits.write_timeout
            with trio.CancelScope(deadline=deadline, shield=True) as self._writing:
                await self.link.write(data)
            if self._writing.cancelled_caught:
                raise Ended(Reason.DEAF)

    async def _watch(self) -> None:
        try:
            while True:
                self._on_events(self.connection.on_timeout(trio.current_time()))
                self._ready.set()
                await trio.sleep_until(self.connection.next_timeout())
        finally:  # the session ends, for whatever reason
            self._writing.deadline = min(self._writing.deadline, trio.current_time() + _LAST_WRITE)
