"""The first three frames of both sides: version, proof, welcome. Sans-IO: frames in, steps out.

A stranger is sent nothing about this node. The side that dialled proves first: a stranger that can reach a hub's port
receives nothing that was computed from the secret, so there is nothing to guess the secret from at leisure.

A job without the secret sends its OIDC token before the proof. The hub that accepts it grants keys derived for the
job's repository, and both sides prove those instead of the hub's own: the hub then serves it in that repository's room.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeVar

from p2pcache.cache.sealing import JobKeys
from p2pcache.clock import unix_time
from p2pcache.swarm.protocol import membership_proof as proof
from p2pcache.swarm.protocol.frames import (
    MAGIC,
    MAJOR,
    MINOR,
    AnyFrame,
    Bye,
    Enrol,
    Granted,
    Hello,
    Introduction,
    NewerFrame,
    Proof,
    Welcome,
)
from p2pcache.swarm.rules.admitted import Admitted
from p2pcache.swarm.rules.reasons import Ended, Reason

F = TypeVar("F", Hello, Proof, Welcome, Granted)

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
        admitted: what its OIDC token proved, on a hub; None for a member of the hub's own swarm.
    """

    peer: str
    hub: bool
    addresses: tuple[str, ...]
    skew: float
    minor: int = MINOR
    admitted: Admitted | None = None


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


@dataclass(frozen=True, slots=True)
class Admit:
    """Go on with what this OIDC token proves; raise `Ended` if it is nothing."""

    token: str = field(repr=False)


Step = Send | Receive | Trust | Admit
Response = AnyFrame | NewerFrame | Admitted | None
Steps = Generator[Step, Response, Member]
"""Each `Receive` is answered with a frame, each `Admit` with an `Admitted`, everything else with None."""


def handshake(
    me: str, peer: str, card: Card, keys: tuple[bytes, ...], clock_skew: float, *, dialled: bool, token: str = ""
) -> Steps:
    """Prove membership to each other.

    Args:
        me: the id of this side.
        peer: the id of the other side, which the transport has verified.
        card: what to publish of this node.
        keys: the membership keys; the first proves, all are accepted.
        clock_skew: seconds that the clocks may differ.
        dialled: whether this side did.
        token: an OIDC token for the hub that was dialled; "": this node needs none.

    Raises:
        Ended: the peer is no member of this swarm, or this node none of the peer's.
    """
    mine = proof.nonce()
    hello = yield from _greeted(me, peer, mine)
    skew = hello.clock - unix_time()
    admitted = None
    if dialled:
        if token:
            yield from _enrolled(hello, token)
        yield Send(Proof(proof.prove(keys[0], me, peer, mine, hello.nonce)))
    frame = yield Receive()
    if isinstance(frame, Enrol) and not dialled:
        admitted = yield from _granted(frame)
        keys = admitted.membership_keys
        frame = yield Receive()
    theirs = _expected(frame, Proof)
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
    return Member(peer, welcome.hub, welcome.addresses, skew if abs(skew) > _CERTAIN else 0.0, hello.minor, admitted)


def enrolment(me: str, peer: str, token: str) -> Generator[Step, Response, tuple[JobKeys, ...]]:
    """Ask a hub that was dialled for this job's keys, and nothing more; as `handshake`."""
    hello = yield from _greeted(me, peer, proof.nonce())
    return (yield from _enrolled(hello, token))


def _greeted(me: str, peer: str, nonce: bytes) -> Generator[Step, Response, Hello]:
    if peer == me:
        raise Ended(Reason.ITSELF)
    yield Send(Hello(MAGIC, MAJOR, MINOR, nonce, unix_time()))
    hello = _expected((yield Receive()), Hello)
    if hello.magic != MAGIC:
        raise Ended(Reason.GARBAGE)
    if hello.major > MAJOR:
        raise Ended(Reason.VERSION)
    return hello


def _enrolled(hello: Hello, token: str) -> Generator[Step, Response, tuple[JobKeys, ...]]:
    if hello.minor < Enrol.since:
        raise Ended(Reason.OLD_HUB)
    yield Send(Enrol(token))
    return _expected((yield Receive()), Granted).keys


def _granted(frame: Enrol) -> Generator[Step, Response, Admitted]:
    admitted = yield Admit(frame.token)
    if not isinstance(admitted, Admitted):
        raise Ended(Reason.TOKEN)
    yield Send(Granted(admitted.keys))
    return admitted


def _expected(frame: Response, kind: type[F]) -> F:
    if isinstance(frame, Bye):
        raise Ended(Reason.of(frame.reason), ours=False)
    if not isinstance(frame, kind):
        raise Ended(Reason.GARBAGE)
    return frame
