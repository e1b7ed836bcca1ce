"""A hostile member that sends arbitrary frames, or a stranger, over the real transport.

async with Liar(key) as liar:
    meeting = await liar.meet(address)
    meeting.answers[Acquire] = lambda ask: [Queued(ask.id)]
    await meeting.say(Have(...))
    bye = await meeting.hear(Bye)
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Self, TypeVar

import trio

from p2pcache.addresses import Address, parse
from p2pcache.swarm.bridge import Bridge
from p2pcache.swarm.protocol.frames import AnyFrame, Ping, Pong, encode
from p2pcache.swarm.protocol.handshake import Card
from p2pcache.swarm.rules import identity
from p2pcache.swarm.rules.config import Limits
from p2pcache.swarm.rules.reasons import Ended
from p2pcache.swarm.services.introduction import Incoming, introduce
from p2pcache.swarm.services.link import Host, Link, LinkError

F = TypeVar("F")

MAX_HEARD = 10_000
"""Frames queued for `Meeting.hear`; later ones are discarded."""
START_SECONDS = 30.0
HEAR_SECONDS = 10.0


class Meeting:
    """One session with a real node.

    Attributes:
        peer: the node's peer id.
        answers: by frame type, a function that returns the immediate replies; such frames are not queued for `hear`.
        deaf: whether to stop reading.
    """

    def __init__(self, bridge: Bridge, link: Link) -> None:
        self.peer = link.peer
        self.answers: dict[type, Callable[..., Iterable[AnyFrame]]] = {Ping: lambda ping: [Pong(ping.id)]}
        self.deaf = False
        self.over = asyncio.Event()
        self._bridge = bridge
        self._link = link
        self._writing = trio.Lock()
        self._heard: list[AnyFrame] = []
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def say(self, *frames: AnyFrame) -> None:
        """Send frames; a closed connection is ignored."""
        await self.send(b"".join(map(encode, frames)))

    async def send(self, data: bytes) -> None:
        """Send arbitrary bytes."""
        await self._bridge.call(self._write, data)

    async def hear(self, kind: type[F], seconds: float = HEAR_SECONDS) -> F:
        """Wait for the next frame of a type.

        Raises:
            TimeoutError: none arrived in time.
        """
        async with asyncio.timeout(seconds), self._news:
            while True:
                for frame in self._heard:
                    if isinstance(frame, kind):
                        self._heard.remove(frame)
                        return frame
                await self._news.wait()

    # The trio side.

    async def listen(self, incoming: Incoming) -> None:
        """Read until the node closes the connection."""
        try:
            while True:
                if self.deaf:
                    await trio.sleep_forever()
                frame = await incoming.next()
                answer = self.answers.get(type(frame))
                if answer is None:
                    self._bridge.post_back(self._keep, frame)
                else:
                    await self._write(b"".join(map(encode, answer(frame))))
        except Ended:
            return
        finally:
            self._bridge.post_back(self.over.set)

    async def _write(self, data: bytes) -> None:
        async with self._writing:
            try:
                await self._link.write(data)
            except LinkError:
                return

    def _keep(self, frame: AnyFrame) -> None:
        if len(self._heard) < MAX_HEARD:
            self._heard.append(frame)
        task = asyncio.ensure_future(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


class Liar:
    """A scripted peer; an async context manager.

    Args:
        key: the membership key, 32 bytes.
        hub: whether it claims to be a hub.
        addresses: the addresses that it claims.
        seed: of its identity; random by default.

    Attributes:
        identity: its key pair, for signatures.
        address: the multiaddr at which it listens.
        visitors: sessions of the nodes that dialled it.
    """

    def __init__(
        self, key: bytes, *, hub: bool = False, addresses: Sequence[str] = (), seed: bytes | None = None
    ) -> None:
        self.identity = identity.Identity(seed or secrets.token_bytes(32))
        self.peer = self.identity.peer
        self.address = ""
        self.visitors: asyncio.Queue[Meeting] = asyncio.Queue()
        self._key = key
        self._card = Card(hub, tuple(addresses))
        self._limits = Limits(handshake_timeout=START_SECONDS)

    async def __aenter__(self) -> Self:
        self._bridge = Bridge()
        ready: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
        finished = self._bridge.start(lambda: self._main(ready))
        either: list[asyncio.Future[object]] = [ready, finished]  # type: ignore[list-item]  # invariant in its result
        await asyncio.wait(either, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await self._bridge.stop(START_SECONDS)
            raise RuntimeError("the lying member cannot start")
        self.address = f"{ready.result()}/p2p/{self.peer}"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._bridge.stop(START_SECONDS)

    async def meet(self, address: str) -> Meeting:
        """Dial a node and prove membership.

        Raises:
            LinkError: the node cannot be reached.
            Ended: the node refuses this member.
        """
        met: asyncio.Future[Meeting] = asyncio.get_running_loop().create_future()
        await self._bridge.call(self._begin, self._dial, parse(address), met)
        return await met

    async def raw(self, address: str) -> Meeting:
        """Dial a node without the membership handshake, which is left to the test.

        Raises:
            LinkError: the node cannot be reached.
        """
        there: asyncio.Future[Meeting] = asyncio.get_running_loop().create_future()
        await self._bridge.call(self._begin, self._call, parse(address), there)
        return await there

    # The trio side.

    async def _main(self, ready: asyncio.Future[Address]) -> None:
        from p2pcache.swarm.host import LibP2PHost

        self._host: Host = LibP2PHost(self.identity.seed, parse("/ip4/127.0.0.1/tcp/0", listen=True), self._limits)
        address = await self._host.bind()
        async with trio.open_nursery() as self._nursery:
            self._bridge.post_back(ready.set_result, address)
            await self._host.serve(self._visited)

    async def _begin(self, work: Callable[..., object], address: Address, done: asyncio.Future[F]) -> None:
        self._nursery.start_soon(work, address, done)  # type: ignore[arg-type]  # an async function of two

    async def _dial(self, address: Address, met: asyncio.Future[Meeting]) -> None:
        try:
            async with self._host.dial(address) as link:
                await self._introduced(link, lambda meeting: self._bridge.post_back(met.set_result, meeting), met)
        except LinkError as error:
            self._bridge.post_back(_fail, met, error)

    async def _visited(self, link: Link) -> None:
        await self._introduced(link, lambda meeting: self._bridge.post_back(self.visitors.put_nowait, meeting))

    async def _introduced(
        self, link: Link, greet: Callable[[Meeting], None], waiting: asyncio.Future[Meeting] | None = None
    ) -> None:
        incoming = Incoming(link)
        try:
            await introduce(link, incoming, self.peer, self._card, (self._key,), self._limits)
        except Ended as error:  # caught here: the link's own tasks would make a group of it
            if waiting is not None:
                self._bridge.post_back(_fail, waiting, error)
            return
        meeting = Meeting(self._bridge, link)
        greet(meeting)
        await meeting.listen(incoming)

    async def _call(self, address: Address, there: asyncio.Future[Meeting]) -> None:
        try:
            async with self._host.dial(address) as link:
                meeting = Meeting(self._bridge, link)
                self._bridge.post_back(there.set_result, meeting)
                await meeting.listen(Incoming(link))
        except LinkError as error:
            self._bridge.post_back(_fail, there, error)


def _fail(future: asyncio.Future[F], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
