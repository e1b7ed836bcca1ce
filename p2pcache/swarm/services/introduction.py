"""The handshake over a link, and the farewell. Trio side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar, assert_never

import trio

from p2pcache.cache.sealing import JobKeys
from p2pcache.swarm.protocol.frames import AnyFrame, Bye, FrameDecoder, FrameError, NewerFrame, encode
from p2pcache.swarm.protocol.handshake import (
    Admit,
    Card,
    Member,
    Receive,
    Response,
    Send,
    Step,
    Trust,
    enrolment,
    handshake,
)
from p2pcache.swarm.rules.admitted import Admitted
from p2pcache.swarm.rules.config import Limits
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.swarm.services.link import Link, LinkError

T = TypeVar("T")
Verify = Callable[[str], Awaitable[Admitted]]

_FAREWELL = 0.5


class Incoming:
    """The frames of a link, one after the other. What is read ahead stays in `decoder`."""

    def __init__(self, link: Link) -> None:
        self.decoder = FrameDecoder()
        self._link = link

    async def next(self) -> AnyFrame | NewerFrame:
        """Return the next frame, `Bye` included.

        Raises:
            Ended: the peer sent garbage, or the link is at its end.
        """
        try:
            while (found := self.decoder.next()) is None:
                data = await self._link.read()
                if not data:
                    raise Ended(Reason.BROKEN)
                self.decoder.add(data)
        except FrameError:
            raise Ended(Reason.GARBAGE) from None
        except LinkError:
            raise Ended(Reason.BROKEN) from None
        return found[0]


async def introduce(
    link: Link,
    incoming: Incoming,
    me: str,
    card: Card,
    keys: tuple[bytes, ...],
    limits: Limits,
    token: str = "",
    admit: Verify | None = None,
) -> Member:
    """Prove membership to each other over a link.

    Args:
        link: to a peer that has not proved anything yet.
        incoming: its frames.
        me: this node's peer id.
        card: what to publish of this node.
        keys: the membership keys; the first proves, all are accepted.
        limits: bounds and deadlines.
        token: an OIDC token for the hub that was dialled, if this node needs one.
        admit: what an OIDC token proves, on a hub that admits by it; raises `Ended` if it is nothing.

    Raises:
        Ended: the peer is no member of this swarm, or this node none of the peer's; the peer was sent the reason.
    """
    steps = handshake(me, link.peer, card, keys, limits.clock_skew, dialled=link.dialled, token=token)
    member = await _within(limits, steps, link, incoming, admit)
    incoming.decoder.minor = member.minor
    return member


async def enrol(link: Link, me: str, token: str, limits: Limits) -> tuple[JobKeys, ...]:
    """Return what the hub at the other end grants to the job that has this OIDC token.

    Raises:
        Ended: it does not, as its reason says.
    """
    grants = await _within(limits, enrolment(me, link.peer, token), link, Incoming(link), None)
    await farewell(link, Reason.LEAVING)
    return grants


async def _within(
    limits: Limits, steps: Generator[Step, Response, T], link: Link, incoming: Incoming, admit: Verify | None
) -> T:
    """Carry the steps out in the time that a handshake may take; send the peer the reason, where this side ends it."""
    ended = Ended(Reason.SILENT)
    with trio.move_on_after(limits.handshake_timeout):
        try:
            return await _carry_out(steps, link, incoming, admit)
        except Ended as why:
            ended = why
        except LinkError:
            ended = Ended(Reason.BROKEN)
    if ended.ours:
        await farewell(link, ended.reason)
    raise ended


async def _carry_out(steps: Generator[Step, Response, T], link: Link, incoming: Incoming, admit: Verify | None) -> T:
    answer: Response = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        answer = None
        match step:
            case Send():
                await link.write(encode(step.frame))
            case Receive():
                answer = await incoming.next()
            case Trust():
                link.trust()
            case Admit():
                answer = await admit(step.token) if admit is not None else None
            case _:
                assert_never(step)


async def farewell(link: Link, reason: Reason) -> None:
    """Send the peer the reason, and give it time to arrive: closing over unread bytes would overtake it."""
    if reason is Reason.BROKEN:
        return
    with trio.CancelScope(deadline=trio.current_time() + _FAREWELL, shield=True):
        try:
            await link.write(encode(Bye(int(reason))))
            while await link.read():
                pass
        except LinkError:
            return
