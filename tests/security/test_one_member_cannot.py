"""A member that knows the secret and lies: what it cannot do to the others."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from p2pcache.cache.entry import Pointer
from p2pcache.cache.tiers import Freed
from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.frames import (
    Acquire,
    Bye,
    Drop,
    Free,
    Get,
    Grant,
    Have,
    Miss,
    Part,
    Peers,
    Ping,
    Pong,
    Queued,
    wire,
)
from p2pcache.swarm.rules import statements
from p2pcache.swarm.rules.address_book import Known
from p2pcache.swarm.rules.reasons import Reason
from p2pcache.testing.liar import Liar, Meeting
from tests.support.swarms import SCOPE, TOPIC, Fleet, Honest, found, until

OTHER = b"o" * 16
RESOURCE = b"r" * 32
ENDLESS = Limits(lease=300.0, lease_silence=30.0)
"""Where a test that waits for as long as a lie would have it comes to its own end first."""


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    made = Fleet(tmp_path)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def liar(fleet: Fleet) -> AsyncIterator[Liar]:
    async with Liar(fleet.key) as made:
        yield made


def shown(pointer: Pointer) -> Pointer:
    """As it travels."""
    made = wire(pointer)
    assert made is not None
    return made


async def dealt_with(meeting: Meeting) -> None:
    """What was said before this has been read."""
    token = time.monotonic_ns() % 2**40
    await meeting.say(Ping(token))
    async with asyncio.timeout(20):
        while (await meeting.hear(Pong)).id != token:
            pass


def drop(author: Liar, origin: str, serial: int, topics: tuple[bytes, ...], age: float = 0.0) -> Drop:
    """An invalidation in the name of `origin`, signed by `author`."""
    signature = author.identity.sign(statements.drop(serial, topics, None))
    return Drop(serial, origin, serial, age, topics, None, signature)


class TestMakeOthersDropAnHonestPeer:
    async def test_by_what_it_says_of_the_size_of_its_blocks(self, fleet: Fleet, liar: Liar) -> None:
        reader = await fleet.member()
        honest = await fleet.member(reader.address)
        held = await honest.hold(50_000)
        await found(reader, held.name)
        meeting = await liar.meet(reader.address)
        meeting.answers[Get] = lambda get: [Miss(get.id)]
        for size in (0, 10, 49_999, 1 << 31):
            lie = msgspec.structs.replace(held, size=size, proved_at=held.proved_at + 5, expires_at=held.expires_at + 9)
            await meeting.say(Have((shown(lie),)))
            await dealt_with(meeting)
            assert await reader.swarm.tier.block(lie) == honest.blocks[held.cid]
        assert honest.peer in reader.connected()
        assert reader.warnings == []

    async def test_by_promising_what_another_has_not_got(self, fleet: Fleet, liar: Liar) -> None:
        """The liar arbitrates, and says of the honest one what it never announced."""
        honest = await fleet.member()
        reader = await fleet.member(liar.address, honest.address)
        meeting = await liar.visitors.get()
        await reader.swarm.connected(2)
        asked = itertools.count()

        def lie(ask: Acquire) -> list[Free]:

            left = msgspec.structs.replace(template, name=ask.resource, cid=b"\x01\x55\x12\x20" + os.urandom(32))
            next(asked)
            return [Free(ask.id, wire(left), honest.peer)]

        template = await honest.hold()
        meeting.answers[Acquire] = lie
        await found(reader, template.name)
        for _ in range(60):
            name = os.urandom(32)
            lease = await reader.swarm.leases.acquire(name, SCOPE)
            if not isinstance(lease, Freed):
                await lease.release(None)
            for pointer in await reader.swarm.tier.find(name):
                assert await reader.swarm.tier.block(pointer) is None
        assert next(asked) > 10
        assert {row.state for row in reader.swarm.peers() if row.peer_id == honest.peer} == {"member"}
        assert await reader.swarm.tier.block(template) == honest.blocks[template.cid]

    async def test_by_announcing_so_much_that_a_hub_passes_for_one_that_floods(self, fleet: Fleet, liar: Liar) -> None:
        few = Limits(announce_rate=1 << 16, announce_burst=1 << 20)  # a starved machine takes long to be flooded
        hub = await fleet.member(hub=True, limits=few)
        reader, honest = [await fleet.member(hub.address, limits=few) for _ in range(2)]
        meeting = await liar.meet(hub.address)
        template = await honest.hold()
        await dealt_with(meeting)
        for _ in range(80):
            batch = [msgspec.structs.replace(template, name=os.urandom(32), link="x" * 2000) for _ in range(25)]
            await meeting.say(Have(tuple(map(shown, batch))))
        await until(lambda: liar.peer not in hub.connected())
        news = await honest.hold()
        assert await found(reader, news.name) == [news]
        assert {hub.peer} <= reader.connected() & honest.connected()


class TestSpeakForAnother:
    async def test_an_invalidation_in_anothers_name_is_not_done_and_its_own_is(self, fleet: Fleet, liar: Liar) -> None:
        reader = await fleet.member()
        honest = await fleet.member(reader.address)
        meeting = await liar.meet(reader.address)
        await dealt_with(meeting)
        await meeting.say(drop(liar, honest.peer, 7, (b"f" * 16,)))
        assert (await meeting.hear(Bye)).reason == Reason.GARBAGE
        assert reader.drops == []
        await honest.swarm.tier.drop([TOPIC])
        assert reader.drops == [(TOPIC,)]

    async def test_an_invalidation_that_it_passes_on_as_old_is_done_again_when_it_was_not(
        self, fleet: Fleet, liar: Liar
    ) -> None:
        """It heard it first, and says that it was an hour ago, when it would have mattered less."""
        reader = await fleet.member()
        meeting = await liar.meet(reader.address)
        async with Liar(fleet.key) as author:
            genuine = drop(author, author.peer, 9, (TOPIC,), age=3000.0)
            await meeting.say(genuine)
            await until(lambda: reader.drops)
            direct = await author.meet(reader.address)
            await direct.say(msgspec.structs.replace(genuine, age=0.0))
            await until(lambda: len(reader.drops) == 2)

    async def test_others_invalidations_are_remembered_however_many_it_makes_up(self, fleet: Fleet, liar: Liar) -> None:
        hub = await fleet.member(hub=True, limits=Limits(drops_bytes=200_000, drop_burst=1 << 20))
        honest = await fleet.member(hub.address)
        await honest.swarm.tier.drop([TOPIC])
        meeting = await liar.meet(hub.address)
        for serial in range(400):
            await meeting.say(drop(liar, liar.peer, serial, (os.urandom(16),) * 20))
        await dealt_with(meeting)
        late = await fleet.member(hub.address)
        await until(lambda: (TOPIC,) in late.drops)


class TestDelayReads:
    async def acquired(self, reader: Honest, seconds: float = 20.0) -> None:
        """A lease: the reader may ask GitHub."""
        lease = await asyncio.wait_for(reader.swarm.leases.acquire(RESOURCE, SCOPE), seconds)
        assert not isinstance(lease, Freed)
        await lease.abandon()

    @pytest.mark.parametrize("lie", ["of itself", "of another", "of long ago", "of another thing"])
    async def test_by_saying_that_somebody_asks_already(self, fleet: Fleet, liar: Liar, lie: str) -> None:
        reader = await fleet.member(liar.address, limits=ENDLESS)
        meeting = await liar.visitors.get()
        async with Liar(fleet.key) as another:

            def wait(ask: Acquire) -> list[Queued]:
                now = time.time()
                holder, author, at, resource = {
                    "of itself": (liar, liar, now, ask.resource),
                    "of another": (another, liar, now, ask.resource),
                    "of long ago": (another, another, now - 3600, ask.resource),
                    "of another thing": (another, another, now, b"x" * 32),
                }[lie]
                signature = author.identity.sign(statements.ask(resource, at, liar.peer))
                return [Queued(ask.id, holder.peer, at, signature)]

            meeting.answers[Acquire] = wait
            for _ in range(5):
                await self.acquired(reader)

    async def test_by_holding_what_others_wait_for_again_and_again(self, fleet: Fleet, liar: Liar) -> None:
        hub = await fleet.member(hub=True, limits=Limits(lease=1.0))
        reader = await fleet.member(hub.address, limits=ENDLESS)
        meeting = await liar.meet(hub.address)
        await meeting.say(self.ask(liar, 1, hub.peer))
        assert (await meeting.hear(Grant)).id == 1
        await self.acquired(reader)  # after the lease that the hub gives a holder
        for token in range(2, 12):
            await meeting.say(self.ask(liar, token, hub.peer))
            assert (await meeting.hear(Grant)).id == token
            assert hub.swarm._mesh is not None
            assert liar.peer not in hub.swarm._mesh.leases.arbiter.peers()
            await self.acquired(reader)

    @staticmethod
    def ask(author: Liar, token: int, arbiter: str) -> Acquire:
        at = time.time()
        return Acquire(token, RESOURCE, OTHER, at, author.identity.sign(statements.ask(RESOURCE, at, arbiter)))

    async def test_by_saying_that_it_is_a_hub(self, fleet: Fleet) -> None:
        reader = await fleet.member(limits=ENDLESS)
        async with Liar(fleet.key, hub=True) as liar:
            meeting = await liar.meet(reader.address)
            await until(lambda: liar.peer in reader.connected())
            meeting.answers[Acquire] = lambda ask: [Queued(ask.id, liar.peer, time.time(), bytes(64))]
            for _ in range(10):
                lease = await asyncio.wait_for(reader.swarm.leases.acquire(os.urandom(32), SCOPE), 20)
                assert not isinstance(lease, Freed)
                await lease.abandon()


class TestOccupyMoreThanItsShare:
    async def test_of_what_is_remembered_of_announcements(self, fleet: Fleet, liar: Liar) -> None:
        bound = 100_000
        reader = await fleet.member(limits=Limits(directory_per_peer=bound))
        honest = await fleet.member(reader.address)
        held = await honest.hold()
        await found(reader, held.name)
        meeting = await liar.meet(reader.address)
        link = "x" * 8000
        large = msgspec.structs.replace(held, link=link, topics=tuple(os.urandom(16) for _ in range(64)))
        for _ in range(100):
            await meeting.say(Have((shown(msgspec.structs.replace(large, name=os.urandom(32))),)))
        await dealt_with(meeting)
        [row] = [row for row in reader.swarm.peers() if row.peer_id == liar.peer]
        assert 0 < row.announced * len(link) < bound
        assert await found(reader, held.name) == [held]

    async def test_of_what_is_sent_at_a_time(self, fleet: Fleet, liar: Liar) -> None:
        """It asks for large blocks and does not read them; another is served meanwhile."""
        giver = await fleet.member(limits=Limits(in_flight=8 << 20, write_timeout=60.0, ping_interval=60.0))
        large = [await giver.hold(1_900_000) for _ in range(8)]
        meeting = await liar.meet(giver.address)
        meeting.deaf = True
        await meeting.say(Ping(1))  # it reads this one's answer, and nothing after it
        for token, pointer in enumerate(large):
            await meeting.say(Get(token, pointer.cid))
        reader = await fleet.member(giver.address, limits=Limits(peer_deadline=10.0))  # the machine may be busy
        await found(reader, large[-1].name)
        for pointer in large[:3]:
            assert await reader.swarm.tier.block(pointer) == giver.blocks[pointer.cid]


class TestFlood:
    @pytest.mark.parametrize("what", ["invalidations", "announcements"])
    async def test_with_what_others_have_to_work_on(self, fleet: Fleet, liar: Liar, what: str) -> None:
        few = Limits(drop_burst=50_000, drop_rate=1_000, announce_burst=50_000, announce_rate=1_000)
        reader = await fleet.member(limits=few)
        meeting = await liar.meet(reader.address)
        template = await reader.hold()
        await dealt_with(meeting)
        for serial in range(1000):
            if what == "invalidations":
                await meeting.say(drop(liar, liar.peer, serial, (os.urandom(16),)))
            else:
                await meeting.say(Have((shown(msgspec.structs.replace(template, name=os.urandom(32))),)))
        await until(lambda: liar.peer not in reader.connected())
        assert any("it said more than a member may" in line for line in reader.warnings)
        assert len(reader.drops) <= 500


class TestMakeOthersDial:
    @pytest.mark.parametrize("way", ["its own", "others'"])
    async def test_addresses_that_nobody_proved(self, fleet: Fleet, way: str) -> None:
        limits = Limits(dial_turns=((0.0, 0.01), (0.0, 0.01)))
        dialled = []

        async def innocent(reader: Any, writer: Any) -> None:
            dialled.append(writer.get_extra_info("peername"))
            writer.close()

        server = await asyncio.start_server(innocent, "127.0.0.2", 0)
        port = server.sockets[0].getsockname()[1]
        target = f"/ip4/127.0.0.2/tcp/{port}"
        try:
            hub = await fleet.member(hub=True, limits=limits)
            reader = await fleet.member(hub.address, limits=limits)
            async with (
                Liar(fleet.key, addresses=(target,) if way == "its own" else ()) as liar,
                Liar(b"n" * 32) as nobody,
            ):
                for node in (hub, reader):
                    meeting = await liar.meet(node.address)
                    if way != "its own":
                        await meeting.say(Peers((Known(nobody.peer, (target,)), Known(hub.peer, (target,)))))
                    await dealt_with(meeting)
                # What the hub proved and told later is dialled: what the liar said would have been before it.
                other = await fleet.member(hub.address, limits=limits)
                await until(lambda: other.peer in reader.connected() or reader.peer in other.connected())
            assert dialled == []
        finally:
            server.close()


async def test_a_forged_block_reaches_nobody(fleet: Fleet, liar: Liar) -> None:
    reader = await fleet.member()
    honest = await fleet.member(reader.address)
    held = await honest.hold(3000)
    await found(reader, held.name)
    meeting = await liar.meet(reader.address)
    meeting.answers[Get] = lambda get: [Part(get.id, held.size, os.urandom(held.size))]
    await meeting.say(Have((shown(held),)))
    await dealt_with(meeting)
    for _ in range(10):
        assert await reader.swarm.tier.block(held) == honest.blocks[held.cid]
    assert honest.peer in reader.connected()
