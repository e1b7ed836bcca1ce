"""Peers that know the secret and misbehave: each is limited or dropped with a reason, and nobody waits for it."""

from __future__ import annotations

import time

import msgspec
import pytest
import trio

from p2pcache.swarm import Limits
from p2pcache.swarm.exchange import WARM
from p2pcache.swarm.frames import Bye, Get, Have, Miss, Part, Ping, Pong, encode, parts, wire
from p2pcache.swarm.reasons import OURS, Reason
from p2pcache.swarm.scoring import EMPTY_PROMISES


def rows(node):
    return {row.peer_id: row for row in node.mesh.members.rows(node.directory.announced)}


async def pongs(guest):
    """Stay alive."""
    while True:
        await guest.say(Pong((await guest.hear(Ping)).id))


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"\xff" * 8, Reason.GARBAGE), (b"\x00\x00\x00\x02\xc1\xc1", Reason.GARBAGE)],
    ids=["oversized", "garbage"],
)
def test_garbage_drops_the_peer_with_a_reason(world, run, said, reason):
    async def test():
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            await world.until(lambda: len(node.mesh.members) == 1)
            await guest.link.write(said)
            assert (await guest.hear(Bye)).reason == reason
            await world.until(lambda: len(node.mesh.members) == 0)
            row = rows(node)[world.peer(30)]
            assert (row.state, row.reason) == ("dropped", OURS[reason])
            assert node.mesh.members.counters["garbage"] == 1
            assert node.outside.warnings == [f"a peer at /ip4/10.0.0.99/tcp/40000 was dropped: {OURS[reason]}"]

    run(test)


def test_a_flood_of_announcements_drops_the_flooder_and_leaves_the_others_alone(world, run, pointer):
    async def test():
        node, good = world.node(0, limits=Limits(announce_rate=10, announce_burst=20_000)), world.node(1, 0)
        held, _ = good.outside.hold()
        async with world.running(node, good), world.guest(node) as guest:
            await world.until(lambda: node.directory.find(held.name))
            for _ in range(10):
                await guest.say(Have(tuple(wire(pointer()) for _ in range(20))))
            assert (await guest.hear(Bye)).reason == Reason.FLOOD
            assert node.directory.find(held.name)
            await world.until(lambda: len(node.directory) == 1)

    run(test)


def test_a_flood_of_pings_drops_the_flooder_and_leaves_the_others_alone(world, run):
    async def test():
        node, good = world.node(0), world.node(1, 0)
        async with world.running(node, good), world.guest(node, hub=True) as guest:  # it says so; it gains nothing
            await world.until(lambda: len(node.mesh.members) == 2)
            for number in range(node.mesh.members.limits.request_burst + 1_000):
                await guest.say(Ping(number))
            assert (await guest.hear(Bye)).reason == Reason.FLOOD
            await world.until(lambda: [session.peer for session in node.mesh.members] == [good.peer])

    run(test)


def test_announcements_without_blocks_are_soon_not_believed(world, run, pointer):
    async def test():
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            promised = [pointer() for _ in range(EMPTY_PROMISES)]
            await guest.say(Have(tuple(wire(each) for each in promised)))
            await world.until(lambda: len(node.directory) == EMPTY_PROMISES)

            async def miss():
                while True:
                    await guest.say(Miss((await guest.hear(Get)).id))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(miss)
                for each in promised:
                    assert await node.mesh.exchange.fetch(each.cid) is None
                nursery.cancel_scope.cancel()
            assert len(node.directory) == 0
            row = rows(node)[world.peer(30)]
            assert (row.state, row.reason) == ("slow", "it announces what it does not have")
            assert node.mesh.members.counters["peer_miss"] == EMPTY_PROMISES

    run(test)


def test_forged_blocks_are_never_delivered_and_drop_the_forger(world, run, pointer):
    async def test():
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            for _ in range(3):
                each = pointer(size=3)
                await guest.say(Have((wire(each),)))
                await world.until(lambda each=each: node.directory.find(each.name))

                async def forge():
                    await guest.say(Part((await guest.hear(Get)).id, 3, b"lie"))

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(forge)
                    assert await node.mesh.exchange.fetch(each.cid) is None
            assert (await guest.hear(Bye)).reason == Reason.BLOCKS
            assert node.mesh.members.counters["garbage"] >= 3

    run(test)


def test_a_forger_does_not_keep_a_caller_from_an_honest_holder(world, run):
    async def test():
        node, honest = world.node(0), world.node(1, 0)
        held, sealed = honest.outside.hold()
        async with world.running(node, honest), world.guest(node) as guest:
            await guest.say(Have((wire(held),)))
            await world.until(lambda: len(node.directory.holders(held.cid)) == 2)
            node.mesh.members.get(world.peer(30)).score.latency = 0.0001  # it is asked first

            async def forge():
                await guest.say(Part((await guest.hear(Get)).id, len(sealed), sealed[::-1]))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(forge)
                assert await node.mesh.exchange.fetch(held.cid) == sealed

    run(test)


def test_a_silent_holder_costs_half_its_deadline_when_another_has_the_block(world, run):
    async def test():
        node, honest = world.node(0), world.node(1, 0)
        held, sealed = honest.outside.hold()
        async with world.running(node, honest), world.guest(node) as guest:
            await guest.say(Have((wire(held),)))
            await world.until(lambda: len(node.directory.holders(held.cid)) == 2)
            node.mesh.members.get(world.peer(30)).score.latency = 0.0001
            for state in ("member", "slow"):  # once is no habit
                began = trio.current_time()
                assert await node.mesh.exchange.fetch(held.cid) == sealed
                assert trio.current_time() - began < 0.15
                assert rows(node)[world.peer(30)].state == state
                node.mesh.members.get(honest.peer).score.latency = 0.01
            began = trio.current_time()
            assert await node.mesh.exchange.fetch(held.cid) == sealed
            assert trio.current_time() == began

    run(test)


def test_callers_wait_no_longer_than_the_deadline_for_silent_holders(world, run, pointer):
    async def test():
        node, each = world.node(0), pointer()
        async with (
            world.running(node),
            world.guest(node, 30) as one,
            world.guest(node, 31) as two,
            world.guest(node, 32) as three,
        ):
            for guest in (one, two, three):
                await guest.say(Have((wire(each),)))
            await world.until(lambda: len(node.directory.holders(each.cid)) == 3)
            began = trio.current_time()
            assert await node.mesh.exchange.fetch(each.cid) is None
            assert trio.current_time() - began <= 0.26

    run(test)


def test_a_peer_that_asks_for_everything_is_served_so_much_at_a_time(world, run):
    async def test():
        node = world.node(0, limits=Limits(gets=3))
        held, _ = node.outside.hold(200_000)
        node.outside.stall = 0.1
        async with world.running(node), world.guest(node) as guest:
            await guest.say(*(Get(token, held.cid) for token in range(10)))
            for token in range(3, 10):
                assert (await guest.hear(Miss)).id == token
            got = {(await guest.hear(Part)).id for _ in range(3 * 4)}
            assert got == {0, 1, 2}
            assert node.mesh.members.counters["busy"] == 7

    run(test)


def test_bytes_in_flight_are_bounded_both_ways(world, run, pointer):
    async def test():
        node = world.node(0, limits=Limits(in_flight=1000))
        held, _ = node.outside.hold(2000)
        async with world.running(node), world.guest(node) as guest:
            await guest.say(Get(1, held.cid))
            assert (await guest.hear(Miss)).id == 1
            large = pointer(size=5000)
            await guest.say(Have((wire(large),)))
            await world.until(lambda: node.directory.find(large.name))
            assert await node.mesh.exchange.fetch(large.cid) is None
            assert node.mesh.members.counters["busy"] == 1

    run(test)


def test_a_hub_is_not_held_up_by_what_it_cannot_get(world, run, pointer):
    async def test():
        hub, good = world.node(0, hub=True, limits=Limits(hub_fetches=1)), world.node(1, 0)
        async with world.running(hub), world.guest(hub) as guest:
            empty = pointer()
            await guest.say(Have((wire(empty),)))
            await guest.say(Miss((await guest.hear(Get)).id))
            held, _ = good.outside.hold()
            async with world.running(good):
                await world.until(lambda: hub.outside.kept)
            assert hub.outside.kept == [held]

    run(test)


def test_a_peer_is_not_sent_to_itself_for_what_it_announced(world, run, pointer):
    async def test():
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            own = pointer()
            await guest.say(Have((wire(own),)))
            await world.until(lambda: node.directory.find(own.name))
            await guest.say(Get(1, own.cid))
            assert (await guest.hear(Miss)).id == 1
            assert "blocks_relayed" not in node.mesh.members.activity.totals([])

    run(test)


def test_blocks_served_just_now_are_remembered_within_a_bound(world, run):
    async def test():
        node = world.node(0)
        first, *others = [node.outside.hold(WARM // 2)[0] for _ in range(4)]
        async with world.running(node), world.guest(node) as guest:

            async def served(pointer):
                await guest.say(Get(1, pointer.cid))
                answer = await guest.hear((Part, Miss))
                size = 0 if isinstance(answer, Miss) else len(answer.data)
                while 0 < size < pointer.size:
                    size += len((await guest.hear(Part)).data)
                return size == pointer.size

            assert await served(first)
            node.outside.blocks.pop(first.cid)
            assert await served(first)
            for other in others:
                assert await served(other)
            assert not await served(first)

    run(test)


def test_a_peer_that_never_reads_does_not_hold_up_the_others(world, run):
    async def test():
        node, good = world.node(0, limits=Limits(queue=50_000)), world.node(1, 0)
        async with world.running(node, good), world.guest(node) as deaf:
            await world.until(lambda: len(node.mesh.members) == 2)
            for link in world.net.links:
                if link.peer == world.peer(30):
                    link.deaf = True
            for _ in range(20):
                pointers = [node.outside.hold()[0] for _ in range(50)]
                node.mesh.exchange.announce(pointers)
                await world.until(lambda last=pointers[-1]: good.directory.find(last.name))
            await world.until(lambda: len(node.mesh.members) == 1)
            assert rows(node)[world.peer(30)].reason == OURS[Reason.DEAF]
            assert deaf

    run(test)


def test_as_many_members_as_there_is_room_for(world, run):
    async def test():
        node = world.node(0, limits=Limits(members=2))
        async with world.running(node), world.guest(node, 30), world.guest(node, 31):
            await world.until(lambda: len(node.mesh.members) == 2)
            async with world.guest(node, 32) as third:
                assert (await third.hear(Bye)).reason == Reason.FULL
            assert rows(node)[world.peer(32)].state == "refused"
            assert "as many members" in node.outside.warnings[0]

    run(test)


def test_a_member_that_comes_again_replaces_its_older_connection(world, run):
    async def test():
        node = world.node(0)
        async with world.running(node), world.guest(node, 30) as old:
            await world.until(lambda: len(node.mesh.members) == 1)
            first = node.mesh.members.get(world.peer(30))
            async with world.guest(node, 30) as new:
                assert (await old.hear(Bye)).reason == Reason.DUPLICATE
                await world.until(lambda: first.closed.is_set())
                await new.say(Ping(5))
                assert (await new.hear(Pong)).id == 5
                assert len(node.mesh.members) == 1

    run(test)


def test_a_block_asked_for_over_a_connection_that_is_replaced_is_asked_for_over_the_new_one(world, run, pointer, block):
    async def test():
        node = world.node(0)
        cid, sealed = block()
        held = pointer(cid, len(sealed))
        fetched = []

        async def fetch():
            fetched.append(await node.mesh.exchange.fetch(cid))

        async with world.running(node) as nursery, world.guest(node, 30) as old:
            await old.say(Have((wire(held),)))
            await world.until(lambda: node.directory.find(held.name))
            nursery.start_soon(fetch)
            await old.hear(Get)
            async with world.guest(node, 30) as new:
                for part in parts((await new.hear(Get)).id, sealed):
                    await new.link.write(part)
                await world.until(lambda: fetched)
        assert fetched == [sealed]
        assert node.mesh.members.counters["peer_miss"] == 0

    run(test)


@pytest.mark.parametrize("smaller", [True, False])
def test_of_two_connections_dialled_at_once_both_sides_keep_the_same(world, run, smaller):
    async def test():
        node = world.node(10)
        number = 5 if smaller else 20
        other = world.node(number)
        async with world.running(node, other) as nursery:
            nursery.start_soon(other.mesh.dialer.bootstrap, node.address)
            nursery.start_soon(node.mesh.dialer.bootstrap, other.address)
            await trio.sleep(5)
            assert len(node.mesh.members) == len(other.mesh.members) == 1
            kept = node.mesh.members.get(other.peer)
            assert kept.link.dialled == (not smaller)
            assert not node.outside.warnings
            assert {row.state for row in node.mesh.members.rows(node.directory.announced)} == {"member"}

    run(test)


def test_a_fault_of_our_own_ends_one_session_only(world, run):
    async def test():
        node, good = world.node(0), world.node(1, 0)
        async with world.running(node, good), world.guest(node) as guest:
            await world.until(lambda: len(node.mesh.members) == 2)

            def broken(session, frame):
                raise ZeroDivisionError

            node.mesh._handlers[Get] = broken
            await guest.say(Get(1, b"c" * 36))
            await world.until(lambda: len(node.mesh.members) == 1)
            assert node.outside.warnings == ["the session with a peer ended by an internal error (ZeroDivisionError)"]
            assert node.mesh.members.counters["internal"] == 1

    run(test)


def test_the_same_complaint_is_made_once(world, run):
    async def test():
        node = world.node(0)
        async with world.running(node):
            for _ in range(3):
                async with world.guest(node) as guest:
                    await guest.link.write(b"\xff" * 8)
                    await guest.hear(Bye)
            assert len(node.outside.warnings) == 1

    run(test)


def test_skew_is_corrected_on_arrival(world, run, pointer):
    async def test():
        node = world.node(0)
        async with world.running(node), world.guest(node, skew=200.0) as ahead:
            theirs = pointer(proved_at=time.time() + 190, expires_at=time.time() + 250)
            await ahead.say(Have((wire(theirs),)))
            await world.until(lambda: node.directory.find(theirs.name))
            [seen] = node.directory.find(theirs.name)
            assert seen.proved_at == pytest.approx(time.time() - 10, abs=1.0)
            assert seen.expires_at == pytest.approx(time.time() + 50, abs=1.0)

    run(test)


def test_a_drop_flood_is_acknowledged_and_bounded(world, run):
    async def test():
        node = world.node(0, limits=Limits(drops_bytes=4 * 465 * 50))
        async with world.running(node), world.guest(node) as guest:
            for serial in range(200):
                await guest.say(guest.drop(serial, serial, 0.0, (serial.to_bytes(16, "big"),)))
            await world.until(lambda: len(node.outside.drops) == 200)
            assert len(list(node.mesh.drops._log.recent(time.time()))) == 50

    run(test)


def test_blocks_are_served_in_parts_between_which_others_pass(world, run, block):
    async def test():
        node = world.node(0)
        held, sealed = node.outside.hold(1_000_000)
        async with world.running(node), world.guest(node) as guest:
            await guest.say(Get(1, held.cid), Get(2, b"x" * 36))
            data, missed_after = b"", None
            while len(data) < len(sealed):
                frame = await guest.hear((Part, Miss))
                if isinstance(frame, Miss):
                    missed_after = len(data)
                else:
                    data += frame.data
            assert data == sealed
            assert missed_after is not None
            assert missed_after < len(sealed)
            assert len(list(parts(1, sealed))) > 10
            assert encode(Ping(1))

    run(test)


def test_a_holder_is_judged_by_its_own_word_of_a_size(world, run):
    async def test():
        node, honest = world.node(0), world.node(1, 0)
        held, sealed = honest.outside.hold(50_000)
        async with world.running(node, honest), world.guest(node) as guest:
            await world.until(lambda: node.directory.find(held.name))
            for size in (10, 1 << 31):
                await guest.say(Have((wire(msgspec.structs.replace(held, size=size)),)), Ping(size))
                await guest.hear(Pong)
                node.mesh.members.get(world.peer(30)).score.latency = 0.0001

                async def miss():
                    await guest.say(Miss((await guest.hear(Get)).id))

                async with trio.open_nursery() as nursery:
                    if size == 10:
                        nursery.start_soon(miss)
                    assert await node.mesh.exchange.fetch(held.cid) == sealed
            assert honest.peer in node.mesh.members

    run(test)


def test_one_peer_is_sent_a_share_of_what_is_in_flight(world, run):
    async def test():
        node, good = world.node(0, limits=Limits(in_flight=400_000)), world.node(1, 0)
        held = [node.outside.hold(60_000)[0] for _ in range(8)]
        async with world.running(node, good), world.guest(node) as deaf:
            await world.until(lambda: good.directory.find(held[0].name))
            for link in world.net.links:
                if link.peer == world.peer(30):
                    link.deaf = True
            for token, pointer in enumerate(held):
                await deaf.say(Get(token, pointer.cid))
            await world.until(
                lambda: node.mesh.members.get(world.peer(30)).serving == 0 or node.mesh.exchange._budget.used
            )
            assert node.mesh.exchange._budget.used <= 100_000
            assert await good.mesh.exchange.fetch(held[3].cid) is not None

    run(test)


def test_a_hub_passes_on_no_faster_than_members_listen_and_loses_the_oldest(world, run, pointer):
    async def test():
        slow = Limits(announce_rate=20_000, announce_burst=40_000)
        hub, member = world.node(0, hub=True, limits=slow), world.node(1, 0, limits=slow)
        held, _ = member.outside.hold()
        async with world.running(hub, member), world.guest(hub, 30) as one, world.guest(hub, 31) as other:
            await world.until(lambda: hub.directory.find(held.name))
            flood = [pointer() for _ in range(100)]
            await one.say(Have(tuple(map(wire, flood))))
            news = pointer()
            await other.say(Have((wire(news),)))
            await world.until(lambda: member.directory.find(news.name))
            await world.until(lambda: member.directory.find(flood[-1].name))
            assert hub.peer in member.mesh.members

    run(test)


def test_hints_do_not_bring_a_peer_that_is_behind_to_where_it_is_dropped(world, run):
    async def test():
        node = world.node(0, limits=Limits(queue=50_000, write_timeout=1000.0, ping_interval=500.0))
        async with world.running(node), world.guest(node):
            await world.until(lambda: len(node.mesh.members) == 1)
            for link in world.net.links:
                if link.peer == world.peer(30):
                    link.deaf = True
            for _ in range(20):
                node.mesh.members.hint(b"x" * 10_000)
            assert len(node.mesh.members) == 1
            assert node.mesh.members.counters["hints_skipped"] > 10

    run(test)


def test_one_member_is_kept_so_much_of_by_a_hub(world, run):
    async def test():
        hub, good = world.node(0, hub=True, limits=Limits(hub_keep_rate=1.0, hub_keep_burst=250)), world.node(1, 0)
        for _ in range(5):
            good.outside.hold(100)
        other = world.node(2, 0)
        theirs, _ = other.outside.hold(100)
        async with world.running(hub, good):
            await world.until(lambda: hub.mesh.members.counters or len(hub.outside.kept) == 2)
            await trio.sleep(1)
            assert len(hub.outside.kept) == 2
            async with world.running(other):
                await world.until(lambda: theirs in hub.outside.kept)

    run(test)


def test_what_its_announcer_took_along_a_hub_does_not_look_for(world, run, pointer):
    async def test():
        hub = world.node(0, hub=True, limits=Limits(hub_fetches=1))
        async with world.running(hub), world.guest(hub, 30) as one:
            slow, gone = pointer(), pointer()
            async with world.guest(hub, 31) as other:
                await one.say(Have((wire(slow),)))
                get = await one.hear(Get)
                await other.say(Have((wire(gone),)), Ping(1))
                await other.hear(Pong)
            await world.until(lambda: len(hub.mesh.members) == 1)
            await one.say(Miss(get.id), Ping(2))
            await one.hear(Pong)
            await world.until(lambda: not hub.mesh.exchange._keeping)
            assert not hub.outside.kept

    run(test)
