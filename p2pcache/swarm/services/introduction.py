"""The handshake over a link, and the farewell. Trio side."""

from __future__ import annotations

from typing import assert_never

import trio

from p2pcache.swarm.protocol.frames import AnyFrame, Bye, FrameDecoder, FrameError, NewerFrame, encode
from p2pcache.swarm.protocol.handshake import Card, Member, Receive, Send, Steps, Trust, handshake
from p2pcache.swarm.rules.config import Limits
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.swarm.services.link import Link, LinkError

_FAREWELL = 0.1


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
    link: Link, incoming: Incoming, me: str, card: Card, keys: tuple[bytes, ...], limits: Limits
) -> Member:
    """Prove membership to each other over a link.

    Raises:
        Ended: the peer is no member of this swarm, or this node none of the peer's; the peer was sent the reason.
    """
    ended = Ended(Reason.SILENT)
    with trio.move_on_after(limits.handshake_timeout):
        try:
            steps = handshake(me, link.peer, card, keys, limits.clock_skew, dialled=link.dialled)
            member = await _carry_out(steps, link, incoming)
        except Ended as why:
            ended = why
        except LinkError:
            ended = Ended(Reason.BROKEN)
        else:
            incoming.decoder.minor = member.minor
            return member
    if ended.ours:
        await farewell(link, ended.reason)
    raise ended


async def _carry_out(steps: Steps, link: Link, incoming: Incoming) -> Member:
    frame: AnyFrame | NewerFrame | None = None
    while True:
        try:
            step = steps.send(frame)
        except StopIteration as end:
            member: Member = end.value
            return member
        frame = None
        match step:
            case Send():
                await link.write(encode(step.frame))
            case Receive():
                frame = await incoming.next()
            case Trust():
                link.trust()
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
