"""The lying member: it is let in, says what it likes, and hears what is said to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path

import pytest

from p2pcache.cache.entry import Pointer
from p2pcache.cache.tiers import Freed
from p2pcache.swarm import Swarm, SwarmConfig
from p2pcache.swarm.protocol.frames import Acquire, Bye, Grant, Ping, Pong, Queued
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.swarm.services.link import LinkError
from p2pcache.testing.liar import Liar

KEY, OTHER = b"k" * 32, b"o" * 32


class Nothing:
    """A node that holds nothing and is told nothing."""

    async def sealed(self, cid: bytes) -> None:
        return None

    async def keep(self, pointer: Pointer, sealed: bytes) -> None:
        raise AssertionError

    def pointers(self) -> Iterator[Pointer]:
        return iter(())

    def dropped(self, topics: Collection[bytes], scope: bytes | None, until: float) -> None:
        raise AssertionError

    def quota(self, scope: bytes, state: bytes) -> None:
        raise AssertionError

    def warn(self, message: str) -> None:
        self.warned = message


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Swarm]:
    nothing = Nothing()
    made = Swarm(SwarmConfig("/ip4/127.0.0.1/tcp/0", (), (), tmp_path / "id", (KEY,)), nothing, nothing)
    await made.start()
    yield made
    await made.stop()


async def test_it_is_a_member_and_says_what_it_likes(node: Swarm) -> None:
    async with Liar(KEY, hub=True) as liar:
        meeting = await liar.meet(node.multiaddrs[0])
        assert await node.connected(1)
        assert meeting.peer == node.peer_id
        await meeting.say(Ping(77))
        assert (await meeting.hear(Pong)).id == 77
        with pytest.raises(TimeoutError):
            await meeting.hear(Grant, 0.0)
        await meeting.send(b"\xff" * 8)
        await asyncio.wait_for(meeting.over.wait(), 20)


async def test_it_is_dialled_and_answers_at_once(tmp_path: Path) -> None:
    nothing = Nothing()
    async with Liar(KEY) as liar:
        config = SwarmConfig("/ip4/127.0.0.1/tcp/0", (liar.address,), (), tmp_path / "id", (KEY,))
        node = Swarm(config, nothing, nothing)
        await node.start()
        try:
            meeting = await asyncio.wait_for(liar.visitors.get(), 20)
            meeting.answers[Acquire] = lambda ask: [Queued(ask.id, liar.peer, 0.0, bytes(64)), Grant(ask.id, None, "")]
            assert await node.connected(1)
            assert not isinstance(await node.leases.acquire(b"r" * 32, b"s" * 16), Freed)
        finally:
            await node.stop()


async def test_without_the_secret_it_is_a_stranger(node: Swarm) -> None:
    async with Liar(OTHER) as stranger:
        with pytest.raises(Ended) as ended:
            await stranger.meet(node.multiaddrs[0])
        assert ended.value.reason is Reason.SECRET
        meeting = await stranger.raw(node.multiaddrs[0])
        assert not meeting.over.is_set()
        with pytest.raises(LinkError):
            await stranger.meet("/ip4/127.0.0.1/tcp/1")
        with pytest.raises(LinkError):
            await stranger.raw("/ip4/127.0.0.1/tcp/1")


async def test_one_that_is_deaf_reads_nothing(node: Swarm) -> None:
    async with Liar(KEY) as liar:
        meeting = await liar.meet(node.multiaddrs[0])
        meeting.deaf = True
        await meeting.say(Ping(1), Ping(2))
        with pytest.raises(TimeoutError):
            await meeting.hear(Bye, 0.2)
