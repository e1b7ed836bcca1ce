"""A member's stream without the stream: bytes and time in, events and bytes out. Sans-IO; times are the caller's.

The caller hands over what it reads (`receive_data`), writes what `outbox` holds, and calls `on_timeout` when
`next_timeout` has come. Requests carry a token that their answer repeats.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import assert_never

from p2pcache.cache.entry import CID_PREFIX
from p2pcache.swarm.protocol import frames
from p2pcache.swarm.protocol.frames import Answer, AnyFrame, FrameDecoder, FrameError, Message, NewerFrame, encode
from p2pcache.swarm.protocol.handshake import Member
from p2pcache.swarm.protocol.outbox import Outbox
from p2pcache.swarm.rules.config import Limits
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.swarm.rules.scoring import TokenBucket

_DROPPING = 512
"""Bytes that an invalidation counts for beside its own: it is work for every tier."""


@dataclass(frozen=True, slots=True)
class BlockBegun:
    """The first bytes of a block arrived, or it is known that none will."""

    token: int


@dataclass(frozen=True, slots=True)
class BlockEnded:
    """A block is complete, or will not be."""

    token: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The peer has done what was asked."""

    token: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is to end. Nothing follows."""

    reason: Reason
    ours: bool = True


Progress = BlockBegun | BlockEnded | Acknowledged
Event = Message | frames.Ping | Progress | Closed


@dataclass(slots=True)
class IncomingBlock:
    """A block on its way. `digest` runs along, so that no large block is hashed at once.

    Attributes:
        token: of the request.
        limit: bytes that are accepted.
        size: bytes, by the peer's word; None before the first part.
        complete: whether all of it is there.
    """

    token: int
    limit: int
    size: int | None = None
    data: bytearray = field(default_factory=bytearray)
    complete: bool = False
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, part: frames.Part) -> list[Progress]:
        """Append a part.

        Raises:
            Ended: parts that do not add up.
        """
        first = self.size is None
        if self.size is None:
            self.size = part.total
        whole = len(self.data) + len(part.data)
        if part.total != self.size or whole > self.size or not (part.data or self.size == 0):
            raise Ended(Reason.GARBAGE)
        if self.size > self.limit:
            return self.miss()  # the size may have been announced by another peer than this one
        self.data += part.data
        self._digest.update(part.data)
        self.complete = whole == self.size
        begun: list[Progress] = [BlockBegun(self.token)] if first else []
        return [*begun, BlockEnded(self.token)] if self.complete else begun

    def miss(self) -> list[Progress]:
        """Give it up."""
        return [BlockBegun(self.token), BlockEnded(self.token)]

    def is_named(self, cid: bytes) -> bool:
        """Return whether `cid` is the name of these bytes."""
        return CID_PREFIX + self._digest.digest() == cid


class Connection:
    """The protocol with one member, after the handshake.

    Args:
        member: the other side.
        limits: bounds and rates.
        decoder: the handshake's, with what it has read ahead.
        now: seconds, by the clock of all other calls.

    Attributes:
        heard: when the last frame arrived.
        rtt: seconds of a round trip, None until measured.
        outbox: what waits to be written.
    """

    def __init__(self, member: Member, limits: Limits, decoder: FrameDecoder, now: float) -> None:
        self.heard = now
        self.rtt: float | None = None
        self.outbox = Outbox(limits.queue)
        self._minor = member.minor
        self._limits = limits
        self._decoder = decoder
        self._requesting = TokenBucket(limits.request_rate, limits.request_burst)
        self._announcing = TokenBucket(limits.announce_rate, limits.announce_burst)
        # A hub passes on what others drop. One that only claims to be a hub gains little: each drop is signed.
        share = limits.hub_share if member.hub else 1.0
        self._dropping = TokenBucket(limits.drop_rate * share, limits.drop_burst * share)
        self._gossiping = TokenBucket(limits.gossip_rate, limits.gossip_burst)
        self._tokens = itertools.count(1)
        self._blocks: dict[int, IncomingBlock] = {}
        self._ping: tuple[int, float] | None = None
        self._frames = 0
        self._frames_at_ping = -1
        self._timeout = now
        self._closed = False

    def token(self) -> int:
        """Return a number for a request that its answer will carry."""
        return next(self._tokens)

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take what arrived; after a `Closed` event nothing is taken any more."""
        events: list[Event] = []
        self._decoder.add(data)
        try:
            while not self._closed and (found := self._decoder.next()) is not None:
                self.heard = now
                self._frames += 1
                events += self._receive(*found, now)
        except FrameError:
            events.append(self._close(Reason.GARBAGE))
        except Ended as ended:
            events.append(self._close(ended.reason, ours=ended.ours))
        return events

    def next_timeout(self) -> float:
        """Return when `on_timeout` has something to do."""
        return self._timeout

    def on_timeout(self, now: float) -> list[Event]:
        """Send regular pings; give up a peer that sent no frame in a whole interval after one (half-open, stopped)."""
        if now < self._timeout:
            return []
        if self._frames == self._frames_at_ping:
            return [self._close(Reason.SILENT)]
        self._frames_at_ping = self._frames
        self._timeout = now + self._limits.ping_interval
        return [] if self.ping(now) else [self._close(Reason.DEAF)]

    def send(self, frame: AnyFrame) -> bool:
        """Queue a frame; False when the peer does not read and the queue is full."""
        return self.queue(encode(frame), frame.since)

    def queue(self, data: bytes, since: int, share: float = 1.0) -> bool:
        """Queue an encoded frame of minor version `since`, up to a share of the queue; a no-op for an older peer."""
        return since > self._minor or self.outbox.put(data, share)

    def ping(self, now: float) -> bool:
        """Queue a ping; `heard` and `rtt` show its answer. As `send`."""
        self._ping = (self.token(), now)  # only the newest counts
        return self.send(frames.Ping(self._ping[0]))

    def fetch(self, cid: bytes, size: int) -> IncomingBlock | None:
        """Ask for a block of at most `size` bytes; `BlockBegun` and `BlockEnded` follow. None: as `send`."""
        block = IncomingBlock(self.token(), min(size, self._limits.block))
        self._blocks[block.token] = block
        return block if self.send(frames.Get(block.token, cid)) else None

    def forget(self, block: IncomingBlock) -> None:
        """Pass over what still arrives of a block."""
        self._blocks.pop(block.token, None)

    def _close(self, reason: Reason, *, ours: bool = True) -> Closed:
        self._closed = True
        return Closed(reason, ours)

    def _receive(self, frame: AnyFrame | NewerFrame, size: int, now: float) -> list[Message | frames.Ping | Progress]:
        match frame:
            case frames.Part() | frames.Miss() | frames.Pong() | frames.Ack():
                return list(self._on_answer(frame, now))
            case frames.Bye():
                raise Ended(Reason.of(frame.reason), ours=False)
            case frames.Hello() | frames.Proof() | frames.Welcome() | frames.Enrol() | frames.Granted():
                raise Ended(Reason.GARBAGE)
            case NewerFrame():
                _spend(self._announcing, size, now)
            case frames.Ping():
                _spend(self._requesting, 1, now)
                return [frame]  # the caller answers, once it has done what was sent before
            case _:
                return [frame] if self._accepts(frame, size, now) else []
        return []

    def _accepts(self, frame: Message, size: int, now: float) -> bool:
        """Return whether a frame is within what the peer may send.

        Raises:
            Ended: beyond it, and no member that keeps to the protocol would be.
        """
        match frame:
            case frames.Have():
                _spend(self._announcing, size, now)
            case frames.Drop():
                _spend(self._dropping, size + _DROPPING, now)
            case frames.Quota() | frames.Peers():
                return self._gossiping.take(size, now)
            case frames.Get() | frames.Acquire() | frames.Release():
                _spend(self._requesting, 1, now)
            case frames.Grant() | frames.Queued() | frames.Free():  # answers: a hub gives them to all members
                pass
            case _:
                assert_never(frame)
        return True

    def _on_answer(self, frame: Answer, now: float) -> list[Progress]:
        """Take an answer to a request of this side; one that comes too late is passed over."""
        match frame:
            case frames.Part():
                return block.add(frame) if (block := self._blocks.get(frame.id)) else []
            case frames.Miss():
                return block.miss() if (block := self._blocks.get(frame.id)) else []
            case frames.Pong():
                if self._ping is not None and self._ping[0] == frame.id:
                    self.rtt = now - self._ping[1]
                    self._ping = None
            case frames.Ack():
                return [Acknowledged(frame.id)]
            case _:
                assert_never(frame)
        return []


def _spend(bucket: TokenBucket, amount: float, now: float) -> None:
    if not bucket.take(amount, now):
        raise Ended(Reason.FLOOD)
