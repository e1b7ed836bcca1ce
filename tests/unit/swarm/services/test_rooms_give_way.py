"""How many rooms a hub has, which give way to others, and what each is to its hub."""

from __future__ import annotations

import pytest

from p2pcache.cache.sealing import SealedKind
from p2pcache.swarm.protocol.frames import (
    Bye,
    Get,
    Part,
)
from p2pcache.swarm.rules.admitted import Admitted
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.swarm.services import rooms
from tests.unit.swarm.admitting import place
from tests.unit.swarm.conftest import SCOPE, Run, World
from tests.unit.swarm.rooms_lab import admitting, announced, enrolled, give, sealed


def test_a_room_without_members_gives_way_and_one_with_members_does_not(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "MOST_ROOMS", 2)

    async def test() -> None:
        hub = admitting(world)
        async with world.running(hub):
            assert hub.mesh.rooms is not None
            async with enrolled(world, hub, 20, "1"), enrolled(world, hub, 21, "2"):
                async with enrolled(world, hub, 22, "3") as (late, _):
                    assert await late.hear(Bye) == Bye(int(Reason.FULL))
                assert len(hub.mesh.rooms) == 2
            await world.until(lambda: not hub.mesh.rooms.sessions() if hub.mesh.rooms else False)
            async with enrolled(world, hub, 22, "3"):
                await world.until(lambda: hub.mesh.rooms and len(hub.mesh.rooms.sessions()) == 1)
                assert len(hub.mesh.rooms) == 2

    run(test)


def test_one_repository_has_few_rooms_and_its_own_give_way(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "MOST_READERS", 2)

    async def test() -> None:
        hub = admitting(world)
        async with world.running(hub):
            assert hub.mesh.rooms is not None
            async with enrolled(world, hub, 20, "1") as (trusted, at):
                async with enrolled(world, hub, 21, "1", "pull 1"), enrolled(world, hub, 22, "1", "pull 2"):
                    async with enrolled(world, hub, 23, "1", "pull 3") as (late, _):
                        assert await late.hear(Bye) == Bye(int(Reason.FULL))
                    async with enrolled(world, hub, 24, "2", "pull 1"):
                        await world.until(lambda: hub.mesh.rooms and len(hub.mesh.rooms) == 4)
                await world.until(lambda: hub.mesh.rooms and len(hub.mesh.rooms.sessions()) == 1)
                async with enrolled(world, hub, 23, "1", "pull 3") as (reader, _):
                    pointer, block = sealed(at)
                    await give(trusted, pointer, block)
                    assert (await announced(reader)).name == pointer.name
                    assert len(hub.mesh.rooms) == 4

    run(test)


def test_a_source_that_is_opened_again_is_read_again(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MOST_ROOMS", 2)

    async def test() -> None:
        hub = admitting(world)
        async with world.running(hub):
            assert hub.mesh.rooms is not None
            async with enrolled(world, hub, 21, "1", "pull 1") as (reader, _):
                async with enrolled(world, hub, 20, "1"):
                    pass
                await world.until(lambda: hub.mesh.rooms and len(hub.mesh.rooms.sessions()) == 1)
                async with enrolled(world, hub, 22, "2"):  # in its place
                    pass
                await world.until(lambda: hub.mesh.rooms and len(hub.mesh.rooms.sessions()) == 1)
                async with enrolled(world, hub, 20, "1") as (trusted, at):
                    pointer, block = sealed(at)
                    await give(trusted, pointer, block)
                    assert (await announced(reader)).name == pointer.name

    run(test)


def test_before_a_hub_runs_it_has_no_room(world: World) -> None:
    hub = admitting(world)
    assert hub.mesh.rooms is not None
    with pytest.raises(Ended) as ended:
        hub.mesh.rooms.of(place("1"))
    assert ended.value.reason is Reason.FULL


async def test_what_a_room_asks_of_its_hub(world: World) -> None:
    local = world.node(0).local
    node = rooms.RoomNode(local, place("1").keyring, SCOPE, 10)  # type: ignore[arg-type]
    node.warn("a sentence")
    node.changed(3)
    node.quota(SCOPE, b"q")
    assert node.silence() == 0.0
    assert (local.warnings, local.members, local.quotas) == (["a sentence"], 0, [])


def test_a_room_goes_on_with_the_keys_of_a_rotated_secret(world: World, run: Run) -> None:
    secrets = ["old"]

    async def rotating(sent: str, hub: str, peer: str) -> Admitted:
        repository, _, _, context = sent.split(" ", 3)
        return place(repository, context, *secrets)

    async def test() -> None:
        hub = world.node(0, hub=True, gatekeeper=rotating)
        async with (
            world.running(hub),
            enrolled(world, hub, 20, "1"),
            enrolled(world, hub, 21, "1", "pull 7"),
        ):
            await world.until(lambda: hub.mesh.rooms and len(hub.mesh.rooms.sessions()) == 2)
            secrets.insert(0, "new")
            async with (
                enrolled(world, hub, 22, "1") as (trusted, _),
                enrolled(world, hub, 23, "1", "pull 7") as (reader, _),
            ):
                at, own = place("1", "", *secrets), place("1", "pull 7", *secrets)
                pointer, block = sealed(at)
                await give(trusted, pointer, block)
                copy = await announced(reader)
                await reader.say(Get(5, copy.cid))
                part = await reader.hear(Part)
                assert own.keyring.open(bytes(part.data), SealedKind.BLOCK) == b"an answer"
                assert bytes(part.data)[1:9] == own.keyring.key_id
                assert hub.mesh.rooms is not None
                assert len(hub.mesh.rooms) == 2

    run(test)
