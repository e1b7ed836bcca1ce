"""One member's stream: a reader that never pauses, a writer with a bounded queue, requests with deadlines, pings."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import assert_never

import trio

from p2pcache.clock import unix_time
from p2pcache.swarm.config import Limits
from p2pcache.swarm.frames import (
    Ack,
    AnyFrame,
    Bye,
    Drop,
    Free,
    Get,
    Grant,
    Have,
    Hello,
    Miss,
    Part,
    Peers,
    Ping,
    Pong,
    Proof,
    Quota,
    Wait,
    Welcome,
    encode,
    parts,
)
from p2pcache.swarm.link import Link, LinkError
from p2pcache.swarm.membership import Incoming, Member, farewell
from p2pcache.swarm.outbox import Outbox
from p2pcache.swarm.reasons import Ended, Reason
from p2pcache.swarm.scoring import Score, TokenBucket

CID_PREFIX = b"\x01\x55\x12\x20"
"""CIDv1, raw, sha2-256, 32 bytes: https://github.com/multiformats/cid"""
PER_MIB = 0.1
"""Seconds more that a MiB of a block may take."""


_LAST_WRITE = 0.1
"""Seconds that a message under way may take when the session ends."""
_DROPPING = 512
"""Bytes that an invalidation counts for beside its own: it is work for every tier."""
_HINTS = 0.5
"""Of the queue's bound: what others say does not bring a peer to where it is dropped."""


class Forged(Exception):  # noqa: N818  # the peer's deed, not this node's error
    """The bytes a peer sent are not those the CID names."""


@dataclass(slots=True)
class _Arriving:
    """A block on its way. `digest` runs along, so that no large block is hashed at once."""

    limit: int
    size: int | None = None
    data: bytearray = field(default_factory=bytearray)
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    begun: trio.Event = field(default_factory=trio.Event)
    done: trio.Event = field(default_factory=trio.Event)
    found: bool = False

    def add(self, part: Part) -> None:
        if self.size is None:
            self.size = part.total
        whole = len(self.data) + len(part.data)
        if part.total != self.size or whole > self.size or not (part.data or self.size == 0):
            raise Ended(Reason.GARBAGE)
        if self.size > self.limit:
            self.miss()  # whoever said how large it is need not have been this peer
            return
        self.data += part.data
        self.digest.update(part.data)
        self.begun.set()
        if whole == self.size:
            self.found = True
            self.done.set()

    def miss(self) -> None:
        self.begun.set()
        self.done.set()


class Session:
    """A proved member's open stream.

    Args:
        link, incoming: the stream and its frames after `introduce`.
        member: who it is.
        limits: bounds and deadlines.
        handle: gets every frame that is not an answer or a ping.
    """

    def __init__(
        self,
        link: Link,
        incoming: Incoming,
        member: Member,
        limits: Limits,
        handle: Callable[[Session, AnyFrame], None],
    ) -> None:
        self.peer = member.peer
        self.member = member
        self.link = link
        self.since = unix_time()
        self.score = Score(0.9 * limits.peer_deadline)  # the caller, who waits all of it, has to see it pass
        self.keeping = TokenBucket(limits.hub_keep_rate, limits.hub_keep_burst)
        self.sending = 0
        self.rtt: float | None = None
        self.heard = trio.current_time()
        self.blocks_in = self.bytes_in = self.bytes_out = 0
        self.serving = 0
        self.over: Ended | None = None
        self.closed = trio.Event()
        self._incoming = incoming
        self._limits = limits
        self._handle = handle
        self._outbox = Outbox(limits.queue)
        self._requesting = TokenBucket(limits.request_rate, limits.request_burst)
        self._announcing = TokenBucket(limits.announce_rate, limits.announce_burst)
        # A hub passes on what others drop. One that only says it is a hub gains little: each drop is signed.
        share = limits.hub_share if member.hub else 1.0
        self._dropping = TokenBucket(limits.drop_rate * share, limits.drop_burst * share)
        self._gossiping = TokenBucket(limits.gossip_rate, limits.gossip_burst)
        self._tokens = itertools.count(1)
        self._frames = 0
        self._arriving: dict[int, _Arriving] = {}
        self._acks: dict[int, trio.Event] = {}
        self._pings: dict[int, float] = {}
        self._scope = trio.CancelScope()
        self._writing = trio.CancelScope()
        self._nursery: trio.Nursery | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._nursery is not None

    def token(self) -> int:
        """A number for a request of ours that its answer will carry."""
        return next(self._tokens)

    async def run(self, *first: Callable[[], Awaitable[None]]) -> Ended:
        """Until the session is over; says why. `first` are run beside it from the beginning."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._guard, self._read)
                nursery.start_soon(self._guard, self._write)
                nursery.start_soon(self._guard, self._watch)
                for work in first:
                    nursery.start_soon(work)
        self._nursery = None
        for arriving in self._arriving.values():
            arriving.miss()
        for ack in self._acks.values():
            ack.set()
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

    def send(self, frame: bytes) -> bool:
        """Queue an encoded frame; a peer whose queue is full is dropped."""
        if self._outbox.put(frame):
            return True
        self.end(Reason.DEAF)
        return False

    def hint(self, frame: bytes) -> bool:
        """Queue an encoded frame that the peer can do without, if it is not behind; whether it was."""
        return self._outbox.put(frame, _HINTS)

    async def send_slowly(self, frame: bytes) -> None:
        """Queue a frame of many; waits for a place."""
        await self._outbox.put_bulk(frame)

    async def send_block(self, token: int, sealed: bytes) -> None:
        """Answer a `Get`; waits for places in the queue."""
        for frame in parts(token, sealed):
            await self._outbox.put_bulk(frame)
        self.bytes_out += len(sealed)

    async def get(self, cid: bytes, size: int) -> bytes | None:
        """The block `cid` names, or None when the peer has not got it.

        Raises:
            trio.TooSlowError: no first byte within the peer's deadline, or the rest not within 100 ms a MiB more.
            Forged: the bytes are others; the peer is dropped if that was once too often.
        """
        token = self.token()
        arriving = self._arriving[token] = _Arriving(min(size, self._limits.block))
        began, asked_at = trio.current_time(), time.monotonic()
        try:
            self.send(encode(Get(token, cid)))
            deadline = self.score.deadline()
            with trio.fail_after(deadline):
                await arriving.begun.wait()
            first = trio.current_time() - began
            with trio.fail_after(max(0.0, deadline - first) + PER_MIB * size / (1 << 20)):  # late on a busy machine
                await arriving.done.wait()
        except trio.TooSlowError:
            self.score.timed_out(time.monotonic(), asked_at)
            raise
        finally:
            del self._arriving[token]
        if not arriving.found:
            return None
        if CID_PREFIX + arriving.digest.digest() != cid:
            if self.score.forgery():
                self.end(Reason.BLOCKS)
            raise Forged
        self.score.answered(first)
        self.blocks_in += 1
        self.bytes_in += len(arriving.data)
        return bytes(arriving.data)

    def acknowledged(self, token: int) -> trio.Event:
        """Set when the peer acknowledged `token`, or left. Forget it with `forget`."""
        return self._acks.setdefault(token, trio.Event())

    def forget(self, token: int) -> None:
        """Nobody waits for that acknowledgement any more."""
        self._acks.pop(token, None)

    def ping(self) -> None:
        """Ask whether the peer is there; `heard` and `rtt` tell."""
        token = self.token()
        self._pings = {token: trio.current_time()}  # only the newest counts
        self.send(encode(Ping(token)))

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Ended as ended:
            self.over = self.over or ended
        except LinkError:
            self.over = self.over or Ended(Reason.BROKEN)
        self._scope.cancel()

    async def _read(self) -> None:
        while True:
            frame = await self._incoming.next()
            self.heard = trio.current_time()
            self._frames += 1
            match frame:
                case Part() | Miss() | Pong() | Ack():
                    self._answered(frame)
                case Bye():
                    raise Ended(Reason.of(frame.reason), ours=False)
                case Hello() | Proof() | Welcome():
                    raise Ended(Reason.GARBAGE)
                case _:
                    if self._listens(frame, self._incoming.size):
                        self._heed(frame)

    def _heed(self, frame: AnyFrame) -> None:
        if isinstance(frame, Ping):
            self.send(encode(Pong(frame.id)))
        else:
            self._handle(self, frame)

    def _listens(self, frame: AnyFrame, size: int) -> bool:
        """Whether this is within what the peer may say.

        Raises:
            Ended: beyond it, and no member that keeps to the protocol would be.
        """
        now = trio.current_time()
        match frame:
            case Have():
                bucket = self._announcing
            case Drop():
                bucket, size = self._dropping, size + _DROPPING
            case Quota() | Peers():
                return self._gossiping.take(size, now)
            case Grant() | Wait() | Free():  # answers: a hub gives them to everybody
                return True
            case _:
                bucket, size = self._requesting, 1
        if not bucket.take(size, now):
            raise Ended(Reason.FLOOD)
        return True

    def _answered(self, frame: Part | Miss | Pong | Ack) -> None:
        """An answer to a request of ours; one that comes too late is passed over."""
        match frame:
            case Part():
                if arriving := self._arriving.get(frame.id):
                    arriving.add(frame)
            case Miss():
                if arriving := self._arriving.get(frame.id):
                    arriving.miss()
            case Pong():
                if (sent := self._pings.pop(frame.id, None)) is not None:
                    self.rtt = self.heard - sent
            case Ack():
                if (ack := self._acks.get(frame.id)) is not None:
                    ack.set()
            case _:
                assert_never(frame)

    async def _write(self) -> None:
        while True:
            data = await self._outbox.take()
            # Shielded: a message cut off half-way through its encryption makes all after it unreadable, a goodbye too.
            deadline = trio.current_time() + self._limits.write_timeout
            with trio.CancelScope(deadline=deadline, shield=True) as self._writing:
                await self.link.write(data)
            if self._writing.cancelled_caught:
                raise Ended(Reason.DEAF)

    async def _watch(self) -> None:
        """Regular pings; a peer not heard of in a whole interval after one is given up (half-open, stopped)."""
        try:
            while True:
                before = self._frames
                self.ping()
                await trio.sleep(self._limits.ping_interval)
                if self._frames == before:
                    raise Ended(Reason.SILENT)
        finally:  # the session ends, for whatever reason
            self._writing.deadline = min(self._writing.deadline, trio.current_time() + _LAST_WRITE)
