"""Quotas and members: what one sees, all know."""

from __future__ import annotations

import time

from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.frames import Peers, Ping, Pong, Quota
from p2pcache.swarm.rules.address_book import Known
from tests.unit.swarm.conftest import Run, World

SCOPE = b"s" * 16


def test_the_newest_state_of_a_bucket_reaches_everybody_once(world: World, run: Run) -> None:
    async def test() -> None:
        hub, a, b = world.node(0, hub=True), world.node(1, 0), world.node(2, 0)
        async with world.running(hub, a, b):
            await world.met(hub, a, b)
            a.mesh.quotas.publish(SCOPE, b"990")
            a.mesh.quotas.publish(SCOPE, b"989")
            await world.until(lambda: b.local.quotas and hub.local.quotas)
            assert b.local.quotas == hub.local.quotas == [(SCOPE, b"989")]
            assert a.local.quotas == []

    run(test)


def test_a_member_behind_the_hub_and_a_joiner_know_it_too(world: World, run: Run) -> None:
    async def test() -> None:
        hub, a, b, late = world.node(0, hub=True), *(world.node(n, 0) for n in (1, 2, 3))
        world.net.unreachable = {a.peer, b.peer, late.peer}
        async with world.running(hub, a, b) as nursery:
            await world.until(lambda: len(hub.mesh.members) == 2)
            a.mesh.quotas.publish(SCOPE, b"990")
            await world.until(lambda: b.local.quotas == [(SCOPE, b"990")])
            nursery.start_soon(late.run)
            await world.until(lambda: late.local.quotas == [(SCOPE, b"990")])

    run(test)


def test_an_older_state_changes_nothing(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            now = time.time()
            await guest.say(Quota(SCOPE, now - 5, b"new"), Quota(SCOPE, now - 9, b"old"), Quota(SCOPE, now, b"new"))
            await guest.say(Quota(b"z" * 16, now, b"last"))
            await world.until(lambda: (b"z" * 16, b"last") in node.local.quotas)
            assert node.local.quotas == [(SCOPE, b"new"), (b"z" * 16, b"last")]

    run(test)


def test_scopes_are_bounded(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            for number in range(300):
                node.mesh.quotas.publish(number.to_bytes(16, "big"), b"x")
            assert len(node.mesh.quotas._newest) == 256
            for _ in range(256):
                assert int.from_bytes((await guest.hear(Quota)).scope, "big") >= 44

    run(test)


def test_members_that_come_and_go_are_told_of(world: World, run: Run) -> None:
    async def test() -> None:
        hub, a = world.node(0, hub=True), world.node(1, 0)
        async with world.running(hub, a), world.guest(hub) as guest:
            known = await guest.hear(Peers)
            while a.peer not in {each.peer for each in known.known}:
                known = await guest.hear(Peers)
            a.die()
            gone = await guest.hear(Peers)
            while not gone.gone:
                gone = await guest.hear(Peers)
            assert gone.gone == (a.peer,)

    run(test)


def test_whom_a_hub_relays_is_in_the_table_until_it_leaves_or_the_hub_does(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0, limits=Limits(known=3))
        async with world.running(node):
            async with world.guest(node, hub=True) as hub:

                def relayed() -> set[str]:
                    rows = node.mesh.members.rows(node.directory.announced)
                    return {row.peer_id for row in rows if row.state == "relayed"}

                itself = (Known(node.peer, ()), Known(world.peer(30), ()))
                await hub.say(Peers((Known(world.peer(5), ()), Known(world.peer(6), ()), *itself)))
                await world.until(lambda: relayed() == {world.peer(5), world.peer(6)})
                await hub.say(Peers((), (world.peer(6), world.peer(9))))
                await world.until(lambda: relayed() == {world.peer(5)})
                await hub.say(Peers(tuple(Known(world.peer(number), ()) for number in range(10, 20))))
                await world.until(lambda: relayed() == {world.peer(number) for number in (17, 18, 19)})
                async with world.guest(node, 18):
                    await world.until(lambda: relayed() == {world.peer(17), world.peer(19)})
            await world.until(lambda: not node.mesh.members.relayed)

    run(test)


def test_an_ordinary_member_relays_nobody(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node) as guest:
            await guest.say(Peers((Known(world.peer(5), ("/ip4/10.0.0.50/tcp/1",)),)))
            await world.until(lambda: len(node.mesh.book) == 1)
            assert not node.mesh.members.relayed

    run(test)


def test_who_a_hub_told_of_is_not_told_of_again(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node, 1, hub=True) as hub:
            await hub.say(Peers((Known(world.peer(5), ()), Known(world.peer(6), ()))))
            await world.until(lambda: len(node.mesh.members.relayed) == 2)
            async with world.guest(node, 5) as named, world.guest(node, 6), world.guest(node, 7):
                # The hub tells both of each other; of the one it does not know, this node tells.
                for told in (named, hub):
                    heard = set()
                    while world.peer(7) not in heard:
                        heard |= {each.peer for each in (await told.hear(Peers)).known}
                    assert not heard & {world.peer(5), world.peer(6)}

    run(test)


def test_who_was_named_by_a_hub_that_left_is_told_of(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node, 2) as other:
            async with world.guest(node, 1, hub=True) as hub:
                await hub.say(Peers((Known(world.peer(5), ()),)))
                await world.until(lambda: node.mesh.members.relayed)
            await world.until(lambda: not node.mesh.members.relayed)
            async with world.guest(node, 5):
                while world.peer(5) not in {each.peer for each in (await other.hear(Peers)).known}:
                    pass

    run(test)


def test_of_several_hubs_none_is_left_to_tell_everybody(world: World, run: Run) -> None:
    async def test() -> None:
        hub = world.node(0, hub=True)
        async with world.running(hub), world.guest(hub, 1, hub=True) as other, world.guest(hub, 2) as member:
            await other.say(Peers((Known(world.peer(5), ()),)))
            await world.until(lambda: hub.mesh.members.relayed)
            async with world.guest(hub, 5):
                while world.peer(5) not in {each.peer for each in (await member.hear(Peers)).known}:
                    pass

    run(test)


def test_what_one_member_says_of_others_is_not_believed(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        async with world.running(node), world.guest(node, hub=True, bootstrap=False) as guest:
            await guest.say(Peers((Known(world.peer(5), ("/ip4/10.0.0.50/tcp/1",)),)), Ping(7))
            await guest.hear(Pong)
            assert len(node.mesh.book) == 0
            assert not node.mesh.members.relayed

    run(test)


def test_a_member_is_told_of_where_it_came_from_only(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0)
        claimed = ("/ip4/10.0.0.99/tcp/7", "/ip4/10.0.0.77/tcp/22")
        async with world.running(node), world.guest(node, 31) as other, world.guest(node, addresses=claimed):
            heard: dict[str, tuple[str, ...]] = {}
            while world.peer(30) not in heard:
                heard |= {each.peer: each.addresses for each in (await other.hear(Peers)).known}
            assert heard[world.peer(30)] == ("/ip4/10.0.0.99/tcp/7",)

    run(test)


def test_more_gossip_than_a_member_may_spread_is_not_listened_to(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0, limits=Limits(gossip_rate=1.0, gossip_burst=500))
        async with world.running(node), world.guest(node) as guest:
            for number in range(50):
                await guest.say(Quota(bytes([number]) * 16, time.time(), b"x" * 50))
            await guest.say(Ping(7))
            assert (await guest.hear(Pong)).id == 7
            assert 0 < len(node.local.quotas) < 10
            assert len(node.mesh.members) == 1

    run(test)
