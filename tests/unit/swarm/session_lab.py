"""A session whose other end is in the hands of the test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.frames import AnyFrame, Message, encode
from p2pcache.swarm.protocol.handshake import Member
from p2pcache.swarm.rules.reasons import Ended
from p2pcache.swarm.services.introduction import Incoming
from p2pcache.swarm.services.session import Session
from tests.unit.swarm.conftest import Links, Run

T = TypeVar("T")

LIMITS = Limits()


class Pair:
    """A session and the raw other end."""

    def __init__(self, links: Links, limits: Limits = LIMITS) -> None:
        self.link, self.far = links("A", "B")
        self.frames = Incoming(self.far)
        self.handled: list[Message] = []
        self.session = Session(
            self.link,
            Incoming(self.link).decoder,
            Member("B", False, (), 0.0),
            limits,
            lambda _, frame: self.handled.append(frame),
        )
        self.ended: Ended | None = None
        self.over = trio.Event()

    async def run(self, *first: Callable[[], Awaitable[None]]) -> None:
        self.ended = await self.session.run(*first)
        self.over.set()

    async def end(self) -> Ended:
        """Wait for the session to be over; why it is."""
        await self.over.wait()
        assert self.ended is not None
        return self.ended

    async def say(self, *frames: AnyFrame | bytes) -> None:
        for frame in frames:
            await self.far.write(frame if isinstance(frame, bytes) else encode(frame))

    async def hear(self, kind: type[T]) -> T:
        while True:
            frame = await self.frames.next()
            if isinstance(frame, kind):
                return frame


def scene(links: Links, run: Run, test: Callable[..., Awaitable[None]], limits: Limits = LIMITS) -> None:
    async def start() -> None:
        pair = Pair(links, limits)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.run)
            await test(pair)
            nursery.cancel_scope.cancel()

    run(start)
