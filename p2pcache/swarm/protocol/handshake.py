"""The first three frames of both sides: version, proof, welcome. Sans-IO: frames in, steps out.

A stranger is sent nothing about this node. The side that dialled proves first: a stranger that can reach a hub's port
receives nothing that was computed from the secret, so there is nothing to guess the secret from at leisure.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from p2pcache.clock import unix_time
from p2pcache.swarm.protocol import membership_proof as proof
from p2pcache.swarm.protocol.frames import (
    MAGIC,
    MAJOR,
    MINOR,
    AnyFrame,
    Bye,
    Hello,
    Introduction,
    NewerFrame,
    Proof,
    Welcome,
)
from p2pcache.swarm.rules.reasons import Ended, Reason

F = TypeVar("F", Hello, Proof, Welcome)

_CERTAIN = 0.25
"""Seconds a Hello may have been on its way: less than that is latency, not skew."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a member publishes of itself to members."""

    hub: bool
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """A peer that proved the secret.

    Attributes:
        peer: its id.
        hub: whether it claims to be one.
        addresses: where it claims that it can be dialled.
        skew: its clock minus this node's in seconds, 0 when that is not certain.
        minor: its minor version.
    """

    peer: str
    hub: bool
    addresses: tuple[str, ...]
    skew: float
    minor: int = MINOR


@dataclass(frozen=True, slots=True)
class Send:
    """Write this frame."""

    frame: Introduction


@dataclass(frozen=True, slots=True)
class Receive:
    """Go on with the next frame that arrives."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The peer has proved the secret: lift the bounds for strangers."""


Step = Send | Receive | Trust
Steps = Generator[Step, AnyFrame | NewerFrame | None, Member]
"""Each `Receive` is answered with a frame, everything else with None."""


def handshake(me: str, peer: str, card: Card, keys: tuple[bytes, ...], clock_skew: float, *, dialled: bool) -> Steps:
    """Prove membership to each other.

    Args:
        me: the id of this side.
        peer: the id of the other side, which the transport has verified.
        card: what to publish of this node.
        keys: the membership keys; the first proves, all are accepted.
        clock_skew: seconds that the clocks may differ.
        dialled: whether this side did.

    Raises:
        Ended: the peer is no member of this swarm, or this node none of the peer's.
    """
    if peer == me:
        raise Ended(Reason.ITSELF)
    mine = proof.nonce()
    yield Send(Hello(MAGIC, MAJOR, MINOR, mine, unix_time()))
    hello = _expected((yield Receive()), Hello)
    skew = hello.clock - unix_time()
    if hello.magic != MAGIC:
        raise Ended(Reason.GARBAGE)
    if hello.major > MAJOR:
        raise Ended(Reason.VERSION)
    if dialled:
        yield Send(Proof(proof.prove(keys[0], me, peer, mine, hello.nonce)))
    theirs = _expected((yield Receive()), Proof)
    key = proof.proved(theirs.mac, keys, peer, me, hello.nonce, mine)
    if key is None:
        raise Ended(Reason.SECRET)
    if not dialled:
        # Under the key the peer knows, which in a rotation need not be the first of this node's.
        yield Send(Proof(proof.prove(key, me, peer, mine, hello.nonce)))
    if abs(skew) > clock_skew:
        raise Ended(Reason.CLOCK)
    yield Trust()
    yield Send(Welcome(card.hub, card.addresses))
    welcome = _expected((yield Receive()), Welcome)
    return Member(peer, welcome.hub, welcome.addresses, skew if abs(skew) > _CERTAIN else 0.0, hello.minor)


def _expected(frame: AnyFrame | NewerFrame | None, kind: type[F]) -> F:
    if isinstance(frame, Bye):
        raise Ended(Reason.of(frame.reason), ours=False)
    if not isinstance(frame, kind):
        raise Ended(Reason.GARBAGE)
    return frame
