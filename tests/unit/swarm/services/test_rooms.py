"""Rooms of a hub: jobs of different repositories never hear of each other, and what is read is never written."""

from __future__ import annotations

import time

import pytest

from p2pcache.addresses import parse
from p2pcache.cache.entry import Pointer
from p2pcache.cache.sealing import SealedKind
from p2pcache.swarm.protocol import membership_proof as proof
from p2pcache.swarm.protocol.frames import (
    MAGIC,
    MAJOR,
    MINOR,
    Bye,
    Drop,
    Enrol,
    Get,
    Granted,
    Have,
    Hello,
    Miss,
    Part,
    Proof,
    Quota,
)
from p2pcache.swarm.rules.admitted import Admitted
from p2pcache.swarm.rules.reasons import Reason
from tests.support.memory_network import MemoryHost
from tests.unit.swarm.admitting import place, token
from tests.unit.swarm.conftest import SCOPE, TOPIC, Guest, Run, World
from tests.unit.swarm.rooms_lab import admitting, announced, enrolled, give, named, sealed, silent


def test_members_of_a_repository_meet_and_those_of_another_hear_of_nothing(world: World, run: Run) -> None:
    async def test() -> None:
        hub = admitting(world)
        async with (
            world.running(hub),
            enrolled(world, hub, 20, "1") as (one, at),
            enrolled(world, hub, 21, "1") as (two, _),
            enrolled(world, hub, 22, "2") as (other, _),
            world.guest(hub, 23) as owner,
        ):
            pointer, block = sealed(at)
            await give(one, pointer, block)
            assert (await announced(two)).cid == pointer.cid
            await one.say(Quota(SCOPE, time.time(), b"q"), one.drop(1, 1, 0.0, (TOPIC,)))
            assert (await two.hear(Drop)).topics == (TOPIC,)
            for stranger in (other, owner):
                await stranger.say(Get(9, pointer.cid))
                assert (await stranger.hear((Part, Miss))) == Miss(9)
                await silent(stranger, (Have, Drop, Quota))
                assert one.me.peer not in hub.mesh.members
            assert (len(hub.local.drops), len(hub.local.quotas), len(hub.local.kept)) == (0, 0, 0)

    run(test)


def test_what_a_hub_does_in_its_rooms_is_counted_and_so_is_what_goes_wrong(world: World, run: Run) -> None:
    async def test() -> None:
        hub = admitting(world)
        async with world.running(hub), enrolled(world, hub, 20, "1") as (one, at):
            async with enrolled(world, hub, 21, "1") as (two, _):
                await give(one, *sealed(at))
                await announced(two)
                await two.link.write(b"\xff" * 64)
                assert (await two.hear(Bye)).reason == Reason.GARBAGE
            totals = hub.mesh.members.activity.totals(hub.mesh.sessions())
        assert (totals["joined"], totals["left"], totals["blocks_in"]) == (2, 1, 1)
        assert hub.mesh.members.activity.errors["garbage"] == 1

    run(test)


def test_members_of_a_repository_are_named_to_each_other_alone(world: World, run: Run) -> None:
    async def test() -> None:
        hub = admitting(world)
        async with (
            world.running(hub),
            enrolled(world, hub, 20, "1") as (one, _),
            enrolled(world, hub, 22, "2") as (other, _),
            enrolled(world, hub, 21, "1") as (two, _),
        ):
            assert await named(two) == {one.me.peer, two.me.peer}
            assert await named(other) <= {other.me.peer}
            assert len(hub.mesh.members) == 0
            assert {label for label, _ in hub.mesh.rooms or ()} == {"job of 1", "job of 2"}

    run(test)


def test_what_a_room_keeps_outlives_the_job_that_made_it(world: World, run: Run) -> None:
    async def test() -> None:
        hub = admitting(world)
        async with world.running(hub):
            async with enrolled(world, hub, 20, "1") as (one, at):
                pointer, block = sealed(at)
                await give(one, pointer, block)
                await one.say(Get(1, pointer.cid))
                await one.hear(Part)
            async with enrolled(world, hub, 21, "1") as (two, _):
                assert (await announced(two)).cid == pointer.cid
                await two.say(Get(2, pointer.cid))
                assert (await two.hear(Part)).data == block

    run(test)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_job_that_is_not_trusted_reads_what_trusted_ones_wrote_sealed_anew(world: World, run: Run, when: str) -> None:
    async def read(reader: Guest, pointer: Pointer, at: Admitted) -> None:
        copy = await announced(reader)
        assert (copy.name, copy.scope, copy.topics, copy.by) == (pointer.name, pointer.scope, pointer.topics, "")
        assert copy.cid != pointer.cid
        await reader.say(Get(5, copy.cid), Get(6, pointer.cid))
        part = await reader.hear(Part)
        assert part.id == 5
        assert at.keyring.open(bytes(part.data), SealedKind.BLOCK) == b"an answer"
        await reader.hear(Miss)

    async def test() -> None:
        hub = admitting(world)
        async with world.running(hub):
            if when == "before":
                async with (
                    enrolled(world, hub, 21, "1", "pull 7") as (reader, own),
                    enrolled(world, hub, 20, "1") as (trusted, at),
                ):
                    pointer, block = sealed(at)
                    await give(trusted, pointer, block)
                    await read(reader, pointer, own)
            else:
                async with enrolled(world, hub, 20, "1") as (trusted, at):
                    pointer, block = sealed(at)
                    await give(trusted, pointer, block)
                    await trusted.say(Get(1, pointer.cid))
                    await trusted.hear(Part)
                    async with enrolled(world, hub, 21, "1", "pull 7") as (reader, own):
                        await read(reader, pointer, own)

    run(test)


def test_nothing_goes_the_other_way_nor_to_another_context(world: World, run: Run) -> None:
    async def test() -> None:
        hub = admitting(world)
        async with (
            world.running(hub),
            enrolled(world, hub, 20, "1") as (trusted, at),
            enrolled(world, hub, 21, "1", "pull 7") as (pull, own),
            enrolled(world, hub, 22, "1", "pull 8") as (other, _),
        ):
            pointer, block = sealed(own)
            await give(pull, pointer, block)
            forged, claimed = sealed(at)
            await give(pull, forged, claimed)
            await pull.say(pull.drop(1, 1, 0.0, (TOPIC,)), Quota(SCOPE, time.time(), b"q"))
            for guest in (trusted, other):
                assert await named(guest) <= {guest.me.peer}
                await silent(guest, (Have, Drop, Quota))
                await guest.say(Get(3, pointer.cid), Get(4, forged.cid))
                assert [await guest.hear((Part, Miss)), await guest.hear((Part, Miss))] == [Miss(3), Miss(4)]

    run(test)


def test_what_a_trusted_job_drops_is_dropped_where_it_is_read(world: World, run: Run) -> None:
    async def test() -> None:
        hub = admitting(world)
        async with world.running(hub), enrolled(world, hub, 20, "1") as (trusted, at):
            async with enrolled(world, hub, 21, "1", "pull 7") as (reader, _):
                pointer, block = sealed(at)
                await give(trusted, pointer, block)
                await announced(reader)
                await trusted.say(trusted.drop(1, 1, 0.0, (TOPIC,)))
                drop = await reader.hear(Drop)
                assert (drop.origin, drop.topics, drop.scope) == (hub.peer, (TOPIC,), None)
            async with enrolled(world, hub, 22, "1", "pull 7") as (late, _):
                await silent(late, Have)

    run(test)


def test_what_the_hub_drops_is_dropped_in_every_room_under_its_own_names(world: World, run: Run) -> None:
    async def test() -> None:
        hub = admitting(world)
        async with world.running(hub), enrolled(world, hub, 20, "1") as (trusted, at):
            async with (
                enrolled(world, hub, 21, "1", "pull 7") as (reader, _),
                enrolled(world, hub, 22, "2") as (other, elsewhere),
            ):
                names = at.keyring.topic_names(("repo:octo/app",))
                pointer, block = sealed(at, topics=names)
                await give(trusted, pointer, block)
                await announced(reader)
                assert hub.mesh.rooms is not None
                await hub.mesh.rooms.drop(("repo:octo/app",))
                for guest in (trusted, reader):
                    drop = await guest.hear(Drop)
                    assert (drop.origin, set(drop.topics)) == (hub.peer, set(names))
                assert set((await other.hear(Drop)).topics) == set(elsewhere.keyring.topic_names(("repo:octo/app",)))
            async with enrolled(world, hub, 23, "1") as (late, _):
                await silent(late, Have)

    run(test)


def test_a_block_that_does_not_open_or_is_of_some_tokens_scope_is_not_passed_on(world: World, run: Run) -> None:
    async def test() -> None:
        hub = admitting(world)
        async with (
            world.running(hub),
            enrolled(world, hub, 20, "1") as (trusted, at),
            enrolled(world, hub, 21, "1", "pull 7") as (reader, _),
        ):
            for foreign, block in (sealed(place("2")), sealed(at, scope=b"t" * 16)):
                await give(trusted, foreign, block)
                await silent(reader, Have)
            assert hub.mesh.members.counters["internal"] == 0

    run(test)


def test_a_proof_under_the_hubs_own_key_or_another_rooms_opens_no_room(world: World, run: Run) -> None:
    async def test() -> None:
        hub = admitting(world)
        async with world.running(hub):
            for key in (b"k" * 32, place("2").membership_keys[0], place("1", "pull 7").membership_keys[0]):
                host = MemoryHost(world.net, world.peer(20), parse("/ip4/10.0.0.99/tcp/1"))
                async with host.dial(hub.address) as link:
                    guest = Guest(link, world.identity(20))
                    nonce = proof.nonce()
                    await guest.say(Hello(MAGIC, MAJOR, MINOR, nonce, time.time()))
                    hello = await guest.hear(Hello)
                    await guest.say(Enrol(token("1", hub.peer, host.peer)))
                    await guest.hear(Granted)
                    await guest.say(Proof(proof.prove(key, host.peer, hub.peer, nonce, hello.nonce)))
                    assert (await guest.hear((Bye, Proof))) == Bye(int(Reason.SECRET))
            assert not hub.mesh.rooms

    run(test)


def test_what_is_kept_or_read_already_is_passed_on_once(world: World, run: Run) -> None:
    async def test() -> None:
        hub = admitting(world)
        async with (
            world.running(hub),
            enrolled(world, hub, 20, "1") as (trusted, at),
            enrolled(world, hub, 21, "1", "pull 7") as (reader, _),
        ):
            pointer, block = sealed(at)
            await give(trusted, pointer, block)
            await announced(reader)
            assert hub.mesh.rooms is not None
            source = hub.mesh.rooms._open[at.room].node
            [kept] = source.kept.pointers()
            await source.keep(kept, block)
            source.readers[0].take(kept, block)
            await silent(reader, Have)
            assert {row.repository for row in hub.mesh.rows()} == {"job of 1"}

    run(test)
