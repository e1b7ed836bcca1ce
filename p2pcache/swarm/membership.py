"""The first three frames of both sides: version, proof, welcome. Nothing is told to a stranger.

Who dialled proves first: whoever can reach a hub's port learns nothing there that was computed from the secret, so
there is nothing to guess the secret from at leisure.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeVar

import trio

from p2pcache.clock import unix_time
from p2pcache.swarm import membership_proof as proof
from p2pcache.swarm.config import Limits
from p2pcache.swarm.frames import (
    MAGIC,
    MAJOR,
    MINOR,
    AnyFrame,
    Bye,
    FrameDecoder,
    FrameError,
    Hello,
    Proof,
    Welcome,
    encode,
)
from p2pcache.swarm.link import Link, LinkError
from p2pcache.swarm.reasons import Ended, Reason

F = TypeVar("F", Hello, Proof, Welcome)

_FAREWELL = 0.1
_CERTAIN = 0.25
"""Seconds a Hello may have been on its way: less than that is latency, not skew."""


class Incoming:
    """The frames of a link, one after the other."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._decoder = FrameDecoder()
        self._ready: deque[tuple[AnyFrame, int]] = deque()
        self.size = 0
        """Bytes of the frame that `next` gave last."""

    async def next(self) -> AnyFrame:
        """The next frame, `Bye` included.

        Raises:
            Ended: the peer sent garbage, or the link is at its end.
        """
        while not self._ready:
            try:
                data = await self._link.read()
                self._ready.extend(self._decoder.feed(data))
            except FrameError:
                raise Ended(Reason.GARBAGE) from None
            except LinkError:
                raise Ended(Reason.BROKEN) from None
            if not data:
                raise Ended(Reason.BROKEN)
        frame, self.size = self._ready.popleft()
        return frame


@dataclass(frozen=True, slots=True)
class Card:
    """What a member tells members of itself."""

    hub: bool
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """A peer that proved the secret. `skew` is its clock minus ours in seconds, 0 when that is not certain."""

    peer: str
    hub: bool
    addresses: tuple[str, ...]
    skew: float


async def introduce(
    link: Link, incoming: Incoming, me: str, card: Card, keys: tuple[bytes, ...], limits: Limits
) -> Member:
    """Prove membership to each other.

    Raises:
        Ended: the peer is no member of this swarm, or this node none of the peer's; the peer was told why.
    """
    ended = Ended(Reason.SILENT)
    with trio.move_on_after(limits.handshake_timeout):
        try:
            return await _introduce(link, incoming, me, card, keys, limits)
        except Ended as why:
            ended = why
        except LinkError:
            ended = Ended(Reason.BROKEN)
    if ended.ours:
        await farewell(link, ended.reason)
    raise ended


async def _introduce(
    link: Link, incoming: Incoming, me: str, card: Card, keys: tuple[bytes, ...], limits: Limits
) -> Member:
    if link.peer == me:
        raise Ended(Reason.ITSELF)
    mine = proof.nonce()
    await link.write(encode(Hello(MAGIC, MAJOR, MINOR, mine, unix_time())))
    hello = await _expect(incoming, Hello)
    skew = hello.clock - unix_time()
    if hello.magic != MAGIC:
        raise Ended(Reason.GARBAGE)
    if hello.major > MAJOR:
        raise Ended(Reason.VERSION)
    if link.dialled:
        await link.write(encode(Proof(proof.prove(keys[0], me, link.peer, mine, hello.nonce))))
    theirs = await _expect(incoming, Proof)
    key = proof.proved(theirs.mac, keys, link.peer, me, hello.nonce, mine)
    if key is None:
        raise Ended(Reason.SECRET)
    if not link.dialled:
        # Under the key the peer knows, which in a rotation need not be the first of this node's.
        await link.write(encode(Proof(proof.prove(key, me, link.peer, mine, hello.nonce))))
    if abs(skew) > limits.clock_skew:
        raise Ended(Reason.CLOCK)
    link.trust()
    await link.write(encode(Welcome(card.hub, card.addresses)))
    welcome = await _expect(incoming, Welcome)
    return Member(link.peer, welcome.hub, welcome.addresses, skew if abs(skew) > _CERTAIN else 0.0)


async def _expect(incoming: Incoming, kind: type[F]) -> F:
    frame = await incoming.next()
    if isinstance(frame, Bye):
        raise Ended(Reason.of(frame.reason), ours=False)
    if not isinstance(frame, kind):
        raise Ended(Reason.GARBAGE)
    return frame


async def farewell(link: Link, reason: Reason) -> None:
    """Tell the peer why, and give the word time to arrive: closing over unread bytes would overtake it."""
    if reason is Reason.BROKEN:
        return
    with trio.CancelScope(deadline=trio.current_time() + _FAREWELL, shield=True):
        try:
            await link.write(encode(Bye(int(reason))))
            while await link.read():
                pass
        except LinkError:
            return
