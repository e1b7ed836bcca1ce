"""The swarm as the node uses it: from asyncio, over loopback."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest
import trio

from p2pcache.addresses import Address, parse
from p2pcache.cache.tiers import Freed
from p2pcache.swarm import Limits, Swarm, SwarmError
from p2pcache.swarm.services.link import Host
from tests.unit.swarm.admitting import gatekeeper
from tests.unit.swarm.conftest import Blocks, Configs, Pointers
from tests.unit.swarm.lab import SCOPE, Store, running, until


async def test_a_joiner_gets_the_snapshot(config: Configs, pointer: Pointers) -> None:
    async with running(config("a")) as [(node, a)]:
        node.held = [pointer() for _ in range(500)]
        async with running(config("b", *a.multiaddrs)) as [(_, b)]:
            for held in node.held:
                assert await until(lambda held=held: b.tier.find(held.name)) == [held]


async def test_a_peer_that_stops_says_goodbye(config: Configs) -> None:
    async with running(config("a"), config("b")) as [(_, a), (node, b)]:
        assert b.alone_for() == 0
        await a.stop()
        async with asyncio.timeout(10):
            while not b.activity().get("left"):  # noqa: ASYNC110  # another thread or process: nothing to wait on
                await asyncio.sleep(0.002)
            while b.alone_for() == 0:  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.002)
        assert b.activity()["joined"] == 1
        assert [row for row in b.peers() if row.state != "unreached"] == []  # it may have been dialled again
        assert (b.counters(), node.warnings) == ({}, [])


async def test_what_a_member_did_for_others_is_counted(config: Configs, block: Blocks, pointer: Pointers) -> None:
    async with running(config("hub", hub=True), config("a"), config("b")) as [(kept, hub), (node, a), (_, b)]:
        cid, sealed = block(1000)
        node.blocks[cid] = sealed
        held = pointer(cid, 1000)
        lease = await a.leases.acquire(held.name, SCOPE)
        assert not isinstance(lease, Freed)
        await a.tier.store(held, sealed)
        await lease.release(held)
        async with asyncio.timeout(10):
            while cid not in kept.blocks:  # noqa: ASYNC110  # another thread or process: nothing to wait on
                await asyncio.sleep(0.002)
            while not b._directory.holders(cid):  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.002)
        before = time.monotonic()
        assert await b.tier.block(held) == sealed
        expected = {"blocks_kept": 1, "blocks_in": 1, "leases_granted": 1, "joined": 2}
        async with asyncio.timeout(10):
            while not hub.activity().items() >= expected.items():  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.002)
            while sum(each.activity().get("blocks_given", 0) for each in (hub, a)) < 2:  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.002)
        assert sum("gave it in " in clause for clause in b.explain(held.name, cid, before)) == 1


async def test_quotas_arrive(config: Configs) -> None:
    async with running(config("a"), config("b")) as [(_, a), (node, _)]:
        a.publish_quota(SCOPE, b"990")
        async with asyncio.timeout(5):
            while node.quotas != [(SCOPE, b"990")]:  # noqa: ASYNC110  # another thread or process: nothing to wait on
                await asyncio.sleep(0.002)


async def test_a_hub_keeps_and_announces(config: Configs, pointer: Pointers, block: Blocks) -> None:
    async with running(config("hub", hub=True), config("a"), config("b")) as [(kept, _), (node, a), (_, b)]:
        cid, sealed = block(1000)
        node.blocks[cid] = sealed
        held = pointer(cid, 1000)
        await a.tier.store(held, sealed)
        async with asyncio.timeout(5):
            while cid not in kept.blocks:  # noqa: ASYNC110  # another thread or process: nothing to wait on
                await asyncio.sleep(0.002)
        await until(lambda: b.tier.find(held.name))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"listen": "/ip4/127.0.0.1/udp/1"}, "is not a TCP multiaddr"),
        ({"bootstrap": ("hub:9100",)}, "is not a multiaddr"),
        ({"announce": ("/ip4/1.2.3/tcp/1",)}, "no valid IPv4 address"),
        ({"membership_keys": ()}, "CACHE_SECRET"),
        ({"membership_keys": (b"short",)}, "CACHE_SECRET"),
        ({"listen": "/ip4/203.0.113.1/tcp/9000"}, "cannot listen on"),
    ],
)
async def test_what_cannot_be_used_is_one_sentence(config: Configs, changes: dict[str, Any], says: str) -> None:
    node = Store()
    with pytest.raises(SwarmError, match=says) as error:
        await Swarm(config("a", **changes), node, node).start()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ModuleNotFoundError("libp2p"), "libp2p is not installed"),
        (ZeroDivisionError(), r"cannot start \(ZeroDivisionError\)"),
    ],
)
async def test_a_transport_that_cannot_be_made(config: Configs, error: Exception, says: str) -> None:
    def host(*_: object) -> Host:
        raise error

    node = Store()
    with pytest.raises(SwarmError, match=says):
        await Swarm(config("a"), node, node, host=host).start()


async def test_a_start_that_takes_too_long(config: Configs) -> None:
    class Slow:
        peer = "12D3KooW" + "A" * 44

        async def bind(self) -> None:
            await trio.sleep_forever()

    node = Store()
    with pytest.raises(SwarmError, match="took too long"):
        await Swarm(
            config("a", limits=Limits(start_timeout=0.05)), node, node, host=lambda *_: cast("Host", Slow())
        ).start()


async def test_a_swarm_that_breaks_says_so_and_the_node_goes_on(config: Configs, pointer: Pointers) -> None:
    class Breaking:
        peer = "12D3KooW" + "A" * 44

        async def bind(self) -> Address:
            return parse("/ip4/127.0.0.1/tcp/9")

        async def serve(self, handler: object) -> None:
            await trio.sleep(0.01)
            raise ZeroDivisionError

    node = Store()
    made = Swarm(config("a"), node, node, host=lambda *_: cast("Host", Breaking()))
    await made.start()
    async with asyncio.timeout(5):
        while not node.warnings:  # noqa: ASYNC110  # another thread or process: nothing to wait on
            await asyncio.sleep(0.002)
    assert node.warnings == ["the swarm ended by an internal error (ZeroDivisionError): this node works alone"]
    assert await made.tier.block(pointer()) is None
    await made.stop()


async def test_a_swarm_that_does_not_stop_is_left_behind(config: Configs) -> None:
    import threading

    gate = threading.Event()

    class Stuck:
        peer = "12D3KooW" + "A" * 44

        async def bind(self) -> Address:
            return parse("/ip4/127.0.0.1/tcp/9")

        async def serve(self, handler: object) -> None:
            await trio.sleep(0.01)
            gate.wait(10)

    node = Store()
    made = Swarm(config("a", limits=Limits(stop_timeout=0.05)), node, node, host=lambda *_: cast("Host", Stuck()))
    await made.start()
    await asyncio.sleep(0.1)
    await made.stop()
    assert node.warnings == ["the swarm did not stop in time and is left behind"]
    gate.set()


async def test_told_addresses_are_announced_and_the_identity_stays(config: Configs) -> None:
    announced = ("/dns4/hub.example/tcp/9100",)
    async with running(config("a", announce=announced)) as [(_, first)]:
        assert first.multiaddrs == (f"/dns4/hub.example/tcp/9100/p2p/{first.peer_id}",)
    async with running(config("a", listen="/ip4/0.0.0.0/tcp/0")) as [(_, second)]:
        assert second.peer_id == first.peer_id
        assert all("0.0.0.0" not in address for address in second.multiaddrs)
        assert second.multiaddrs


async def test_a_rotation_in_progress(config: Configs) -> None:
    old, new = b"o" * 32, b"n" * 32
    async with running(config("a", membership_keys=(old, new)), config("b", membership_keys=(new, old))) as nodes:
        assert len(nodes) == 2


async def test_a_member_that_rotates_accepts_the_new_key_and_keeps_its_links(config: Configs) -> None:
    old, new = b"o" * 32, b"n" * 32
    async with running(config("hub", membership_keys=(old,)), config("a", membership_keys=(old,))) as nodes:
        _, hub = nodes[0]
        hub.rotate((old, new))
        async with running(config("b", *hub.multiaddrs, membership_keys=(new, old))) as [(_, b)]:
            assert await b.connected(1, 5)
            assert await hub.connected(2, 5)
            hub.rotate((new,))
            async with running(config("late", *hub.multiaddrs, membership_keys=(old,))) as [(_, late)]:
                async with asyncio.timeout(10):
                    while not [row for row in late.peers() if row.state == "refused"]:  # noqa: ASYNC110  # as above
                        await asyncio.sleep(0.002)
            assert await hub.connected(2, 5)


async def test_drops_reach_rooms_where_there_are_any(config: Configs) -> None:
    topics = ("repo:octo/app",)
    await Swarm(config("a"), Store(), Store()).drop_in_rooms(topics)
    async with running(config("b"), config("c", gatekeeper=gatekeeper)) as [(_, without), (_, hub)]:
        await without.drop_in_rooms(topics)
        await hub.drop_in_rooms(topics)
        assert hub._mesh is not None
        assert hub._mesh.rooms is not None
        assert len(hub._mesh.rooms) == 0, "none is opened for a drop"


async def test_keys_may_change_before_the_start(config: Configs) -> None:
    new = b"n" * 32
    made = Swarm(config("a", membership_keys=(b"o" * 32,)), Store(), Store())
    made.rotate((new,))
    await made.start()
    try:
        async with running(config("b", *made.multiaddrs, membership_keys=(new,))) as [(_, b)]:
            assert await b.connected(1, 5)
    finally:
        await made.stop()


async def test_limits_are_the_configurations(config: Configs) -> None:
    async with running(config("a", limits=Limits(members=1)), config("b")) as [(_, a), _]:
        assert a._mesh is not None
        assert a._mesh.members.limits.members == 1


async def test_what_the_swarm_has_to_say_reaches_the_node(config: Configs) -> None:
    async with running(config("a", "/ip4/127.0.0.1/tcp/1")) as [(node, _)]:
        async with asyncio.timeout(5):
            while not node.warnings:  # noqa: ASYNC110  # another thread or process: nothing to wait on
                await asyncio.sleep(0.002)
        assert "nothing listens there" in node.warnings[0]


async def test_two_members_of_one_directory_are_two_peers(config: Configs) -> None:
    async with running(config("a"), config("a")) as [(_, first), (_, second)]:
        assert first.peer_id != second.peer_id
        assert first.port != second.port


async def test_a_hub_has_its_own_directory(config: Configs) -> None:
    node = Store()
    async with running(config("a", hub=True)) as [(_, hub)]:
        with pytest.raises(
            SwarmError, match=r"another hub runs with .*/a: stop it, or give this one its own directory"
        ):
            await Swarm(config("a", hub=True), node, node).start()
        assert hub.peer_id
    again = Swarm(config("a", hub=True), node, node)
    await again.start()
    await again.stop()
    assert again.peer_id == hub.peer_id


async def test_a_swarm_that_cannot_start_leaves_the_key_to_others(config: Configs) -> None:
    node = Store()
    async with running(config("a")) as [(_, taken)]:
        where = f"/ip4/127.0.0.1/tcp/{taken.port}"
        for _ in range(2):
            with pytest.raises(SwarmError, match="cannot listen on"):
                await Swarm(config("b", hub=True, listen=where), node, node).start()


async def test_a_swarm_that_never_started_can_be_stopped(config: Configs) -> None:
    node = Store()
    await Swarm(config("a"), node, node).stop()
    assert node.warnings == []
