"""Blocks between members: holders that misbehave, and how much each may take."""

from __future__ import annotations

import msgspec
import trio

from p2pcache.cache.entry import Pointer
from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.frames import Bye, Get, Miss, Part, Ping, Pong, encode, parts
from p2pcache.swarm.rules.reasons import Reason
from p2pcache.swarm.rules.scoring import EMPTY_PROMISES
from p2pcache.swarm.services.blocks import WARM
from tests.unit.swarm.conftest import Blocks, Pointers, Run, World
from tests.unit.swarm.lab import have, rows


def test_announcements_without_blocks_are_soon_not_believed(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            promised = [pointer() for _ in range(EMPTY_PROMISES)]
            await guest.say(have(*promised))
            await world.until(lambda: len(node.directory) == EMPTY_PROMISES)

            async def miss() -> None:
                while True:
                    await guest.say(Miss((await guest.hear(Get)).id))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(miss)
                for each in promised:
                    assert await node.mesh.blocks.fetch(each.cid) is None
                nursery.cancel_scope.cancel()
            assert len(node.directory) == 0
            row = rows(node)[world.peer(30)]
            assert (row.state, row.reason) == ("slow", "it announces what it does not have")
            assert node.mesh.members.counters["peer_miss"] == EMPTY_PROMISES

    run(test)


def test_forged_blocks_are_never_delivered_and_drop_the_forger(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            for _ in range(3):
                each = pointer(size=3)
                await guest.say(have(each))
                await world.until(lambda each=each: node.directory.find(each.name))

                async def forge() -> None:
                    await guest.say(Part((await guest.hear(Get)).id, 3, b"lie"))

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(forge)
                    assert await node.mesh.blocks.fetch(each.cid) is None
            assert (await guest.hear(Bye)).reason == Reason.BLOCKS
            assert node.mesh.members.counters["garbage"] >= 3

    run(test)


def test_a_forger_does_not_keep_a_caller_from_an_honest_holder(world: World, run: Run) -> None:
    async def test() -> None:
        node, honest = world.node(0), world.node(1, 0)
        held, sealed = honest.local.hold()
        async with world.running(node, honest), world.guest(node) as guest:
            await guest.say(have(held))
            await world.until(lambda: len(node.directory.holders(held.cid)) == 2)
            node.session(world.peer(30)).score.latency = 0.0001  # it is asked first

            async def forge() -> None:
                await guest.say(Part((await guest.hear(Get)).id, len(sealed), sealed[::-1]))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(forge)
                assert await node.mesh.blocks.fetch(held.cid) == sealed

    run(test)


def test_a_silent_holder_costs_half_its_deadline_when_another_has_the_block(world: World, run: Run) -> None:
    async def test() -> None:
        node, honest = world.node(0), world.node(1, 0)
        held, sealed = honest.local.hold()
        async with world.running(node, honest), world.guest(node) as guest:
            await guest.say(have(held))
            await world.until(lambda: len(node.directory.holders(held.cid)) == 2)
            node.session(world.peer(30)).score.latency = 0.0001
            for state in ("member", "slow"):  # once is no habit
                began = trio.current_time()
                assert await node.mesh.blocks.fetch(held.cid) == sealed
                assert trio.current_time() - began < 0.15
                assert rows(node)[world.peer(30)].state == state
                node.session(honest.peer).score.latency = 0.01
            began = trio.current_time()
            assert await node.mesh.blocks.fetch(held.cid) == sealed
            assert trio.current_time() == began

    run(test)


def test_callers_wait_no_longer_than_the_deadline_for_silent_holders(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        node, each = world.node(0), pointer()
        async with (
            world.running(node),
            world.guest(node, 30) as one,
            world.guest(node, 31) as two,
            world.guest(node, 32) as three,
        ):
            for guest in (one, two, three):
                await guest.say(have(each))
            await world.until(lambda: len(node.directory.holders(each.cid)) == 3)
            began = trio.current_time()
            assert await node.mesh.blocks.fetch(each.cid) is None
            assert trio.current_time() - began <= 0.26

    run(test)


def test_a_peer_that_asks_for_everything_is_served_so_much_at_a_time(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0, limits=Limits(gets=3))
        held, _ = node.local.hold(200_000)
        node.local.stall = 0.1
        async with world.running(node), world.guest(node) as guest:
            await guest.say(*(Get(token, held.cid) for token in range(10)))
            for token in range(3, 10):
                assert (await guest.hear(Miss)).id == token
            got = {(await guest.hear(Part)).id for _ in range(3 * 4)}
            assert got == {0, 1, 2}
            assert node.mesh.members.counters["busy"] == 7

    run(test)


def test_bytes_in_flight_are_bounded_both_ways(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        node = world.node(0, limits=Limits(in_flight=1000))
        held, _ = node.local.hold(2000)
        async with world.running(node), world.guest(node) as guest:
            await guest.say(Get(1, held.cid))
            assert (await guest.hear(Miss)).id == 1
            large = pointer(size=5000)
            await guest.say(have(large))
            await world.until(lambda: node.directory.find(large.name))
            assert await node.mesh.blocks.fetch(large.cid) is None
            assert node.mesh.members.counters["busy"] == 1

    run(test)


def test_a_hub_is_not_held_up_by_what_it_cannot_get(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        hub, good = world.node(0, hub=True, limits=Limits(hub_fetches=1)), world.node(1, 0)
        async with world.running(hub), world.guest(hub) as guest:
            empty = pointer()
            await guest.say(have(empty))
            await guest.say(Miss((await guest.hear(Get)).id))
            held, _ = good.local.hold()
            async with world.running(good):
                await world.until(lambda: hub.local.kept)
            assert hub.local.kept == [held]

    run(test)


def test_a_peer_is_not_sent_to_itself_for_what_it_announced(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            own = pointer()
            await guest.say(have(own))
            await world.until(lambda: node.directory.find(own.name))
            await guest.say(Get(1, own.cid))
            assert (await guest.hear(Miss)).id == 1
            assert "blocks_relayed" not in node.mesh.members.activity.totals([])

    run(test)


def test_blocks_served_just_now_are_remembered_within_a_bound(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        first, *others = [node.local.hold(WARM // 2)[0] for _ in range(4)]
        async with world.running(node), world.guest(node) as guest:

            async def served(pointer: Pointer) -> bool:
                await guest.say(Get(1, pointer.cid))
                answer = await guest.hear((Part, Miss))
                size = len(answer.data) if isinstance(answer, Part) else 0
                while 0 < size < pointer.size:
                    size += len((await guest.hear(Part)).data)
                return size == pointer.size

            assert await served(first)
            node.local.blocks.pop(first.cid)
            assert await served(first)
            for other in others:
                assert await served(other)
            assert not await served(first)

    run(test)


def test_a_block_asked_for_over_a_connection_that_is_replaced_is_asked_for_over_the_new_one(
    world: World, run: Run, pointer: Pointers, block: Blocks
) -> None:
    async def test() -> None:
        node = world.node(0)
        cid, sealed = block()
        held = pointer(cid, len(sealed))
        fetched = []

        async def fetch() -> None:
            fetched.append(await node.mesh.blocks.fetch(cid))

        async with world.running(node) as nursery, world.guest(node, 30) as old:
            await old.say(have(held))
            await world.until(lambda: node.directory.find(held.name))
            nursery.start_soon(fetch)
            await old.hear(Get)
            async with world.guest(node, 30) as new:
                for part in parts((await new.hear(Get)).id, sealed):
                    await new.say(part)
                await world.until(lambda: fetched)
        assert fetched == [sealed]
        assert node.mesh.members.counters["peer_miss"] == 0

    run(test)


def test_blocks_are_served_in_parts_between_which_others_pass(world: World, run: Run, block: Blocks) -> None:
    async def test() -> None:
        node = world.node(0)
        held, sealed = node.local.hold(1_000_000)
        async with world.running(node), world.guest(node) as guest:
            await guest.say(Get(1, held.cid), Get(2, b"x" * 36))
            data, missed_after = b"", None
            while len(data) < len(sealed):
                frame = await guest.hear((Part, Miss))
                if isinstance(frame, Part):
                    data += frame.data
                else:
                    missed_after = len(data)
            assert data == sealed
            assert missed_after is not None
            assert missed_after < len(sealed)
            assert len(list(parts(1, sealed))) > 10
            assert encode(Ping(1))

    run(test)


def test_a_holder_is_judged_by_its_own_word_of_a_size(world: World, run: Run) -> None:
    async def test() -> None:
        node, honest = world.node(0), world.node(1, 0)
        held, sealed = honest.local.hold(50_000)
        async with world.running(node, honest), world.guest(node) as guest:
            await world.until(lambda: node.directory.find(held.name))
            for size in (10, 1 << 31):
                await guest.say(have(msgspec.structs.replace(held, size=size)), Ping(size))
                await guest.hear(Pong)
                node.session(world.peer(30)).score.latency = 0.0001

                async def miss() -> None:
                    await guest.say(Miss((await guest.hear(Get)).id))

                async with trio.open_nursery() as nursery:
                    if size == 10:
                        nursery.start_soon(miss)
                    assert await node.mesh.blocks.fetch(held.cid) == sealed
            assert honest.peer in node.mesh.members

    run(test)


def test_one_peer_is_sent_a_share_of_what_is_in_flight(world: World, run: Run) -> None:
    async def test() -> None:
        node, good = world.node(0, limits=Limits(in_flight=400_000)), world.node(1, 0)
        held = [node.local.hold(60_000)[0] for _ in range(8)]
        async with world.running(node, good), world.guest(node) as deaf:
            await world.until(lambda: good.directory.find(held[0].name))
            for link in world.net.links:
                if link.peer == world.peer(30):
                    link.deaf = True
            for token, pointer in enumerate(held):
                await deaf.say(Get(token, pointer.cid))
            await world.until(lambda: node.session(world.peer(30)).serving == 0 or node.mesh.blocks._budget.used)
            assert node.mesh.blocks._budget.used <= 100_000
            assert await good.mesh.blocks.fetch(held[3].cid) is not None

    run(test)


def test_a_hub_passes_on_no_faster_than_members_listen_and_loses_the_oldest(
    world: World, run: Run, pointer: Pointers
) -> None:
    async def test() -> None:
        slow = Limits(announce_rate=20_000, announce_burst=40_000)
        hub, member = world.node(0, hub=True, limits=slow), world.node(1, 0, limits=slow)
        held, _ = member.local.hold()
        async with world.running(hub, member), world.guest(hub, 30) as one, world.guest(hub, 31) as other:
            await world.until(lambda: hub.directory.find(held.name))
            flood = [pointer() for _ in range(100)]
            await one.say(have(*flood))
            news = pointer()
            await other.say(have(news))
            await world.until(lambda: member.directory.find(news.name))
            await world.until(lambda: member.directory.find(flood[-1].name))
            assert hub.peer in member.mesh.members

    run(test)


def test_one_member_is_kept_so_much_of_by_a_hub(world: World, run: Run) -> None:
    async def test() -> None:
        hub, good = world.node(0, hub=True, limits=Limits(hub_keep_rate=1.0, hub_keep_burst=250)), world.node(1, 0)
        for _ in range(5):
            good.local.hold(100)
        other = world.node(2, 0)
        theirs, _ = other.local.hold(100)
        async with world.running(hub, good):
            await world.until(lambda: hub.mesh.members.counters or len(hub.local.kept) == 2)
            await trio.sleep(1)
            assert len(hub.local.kept) == 2
            async with world.running(other):
                await world.until(lambda: theirs in hub.local.kept)

    run(test)


def test_what_its_announcer_took_along_a_hub_does_not_look_for(world: World, run: Run, pointer: Pointers) -> None:
    async def test() -> None:
        hub = world.node(0, hub=True, limits=Limits(hub_fetches=1))
        async with world.running(hub), world.guest(hub, 30) as one:
            slow, gone = pointer(), pointer()
            async with world.guest(hub, 31) as other:
                await one.say(have(slow))
                get = await one.hear(Get)
                await other.say(have(gone), Ping(1))
                await other.hear(Pong)
            await world.until(lambda: len(hub.mesh.members) == 1)
            await one.say(Miss(get.id), Ping(2))
            await one.hear(Pong)
            await world.until(lambda: not hub.mesh.blocks._keeping)
            assert not hub.local.kept

    run(test)


def test_a_fetch_that_is_cancelled_leaves_the_transfer_to_the_next(world: World, run: Run) -> None:
    async def test() -> None:
        node, honest = world.node(0), world.node(1, 0)
        held, sealed = honest.local.hold()
        honest.local.stall = 0.1  # within the deadline
        async with world.running(node, honest):
            await world.until(lambda: node.directory.holders(held.cid))
            got = []
            scope = trio.CancelScope()

            async def leader() -> None:
                with scope:
                    await node.mesh.blocks.fetch(held.cid)

            async def follower() -> None:
                got.append(await node.mesh.blocks.fetch(held.cid))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(leader)
                await trio.sleep(0.01)
                nursery.start_soon(follower)
                await trio.sleep(0.01)
                scope.cancel()  # the disk had it after all
            assert got == [sealed]

    run(test)
