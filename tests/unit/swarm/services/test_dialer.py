"""Dialling, and dialling again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from p2pcache.addresses import Address
from p2pcache.swarm import Limits
from tests.support.memory_network import MemoryLink
from tests.unit.swarm.conftest import Node, Run, World


def test_an_unreachable_bootstrap_is_named_once_and_tried_for_ever(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(1, 0)
        async with world.running(node) as nursery:
            await trio.sleep(120)
            assert node.local.warnings == [
                "bootstrap /ip4/10.0.0.1/tcp/9000: nothing listens there; it is tried again in the background"
            ]
            assert 25 < len(world.net.dials) < 120
            [row] = node.mesh.members.rows(lambda _: 0)
            assert (row.address, row.state, row.reason) == (world.address(0), "unreached", "nothing listens there")
            late = world.node(0)
            began = trio.current_time()
            nursery.start_soon(late.run)
            await world.met(node, late)
            assert trio.current_time() - began < 5
            [row] = node.mesh.members.rows(lambda _: 0)
            assert row.state == "member"

    run(test)


def test_another_reason_is_named_again(world: World, run: Run) -> None:
    async def test() -> None:
        node, other = world.node(1, 0), world.node(0, membership_keys=(b"x" * 32,))
        async with world.running(node) as nursery:
            await trio.sleep(10)
            nursery.start_soon(other.run)
            await trio.sleep(10)
            assert len(node.local.warnings) == 2
            assert "the swarm secrets differ" in node.local.warnings[1]
            assert len(other.local.warnings) == 1

    run(test)


def test_its_own_address_is_not_dialled_twice(world: World, run: Run) -> None:
    async def test() -> None:
        node = world.node(0, 0)
        async with world.running(node):
            await trio.sleep(60)
            assert len(world.net.dials) == 1
            assert not node.local.warnings

    run(test)


def test_two_addresses_of_one_peer_make_one_connection(world: World, run: Run) -> None:
    async def test() -> None:
        node, hub = world.node(1, 0, 5), world.node(0)
        async with world.running(hub):
            world.net.hosts[world.node(5).address] = hub.host
            async with world.running(node):
                await trio.sleep(60)
                assert len(node.mesh.members) == 1
                assert len(world.net.dials) < 6

    run(test)


def test_a_connection_that_breaks_is_made_again_at_once(world: World, run: Run) -> None:
    async def test() -> None:
        node, hub = world.node(1, 0), world.node(0)
        async with world.running(hub, node):
            await world.met(hub, node)
            for _ in range(3):
                world.net.cut(node.peer)
                await world.until(lambda: len(node.mesh.members) == 0)
                began = trio.current_time()
                await world.met(hub, node)
                assert trio.current_time() - began < 1.0
            assert not node.local.warnings

    run(test)


def dialled(node: Node) -> int:
    return sum(session.link.dialled for session in node.mesh.members)


def test_members_link_up_a_little_beside_a_hub_and_fully_without(world: World, run: Run) -> None:
    async def test() -> None:
        hub, *rest = nodes = [world.node(0, hub=True), *(world.node(n, 0) for n in range(1, 12))]
        async with world.running(*nodes):
            await world.until(lambda: all(len(node.mesh.members) >= 5 for node in rest))
            await trio.sleep(60)
            assert all(dialled(node) <= 5 for node in rest)
            hub.die()
            await world.met(*rest)

    run(test)


def test_links_are_bounded(world: World, run: Run) -> None:
    async def test() -> None:
        nodes = [world.node(0), *(world.node(n, 0, limits=Limits(links=2)) for n in range(1, 8))]
        async with world.running(*nodes):
            await world.until(lambda: len(nodes[0].mesh.members) == 7)
            await trio.sleep(60)
            assert all(dialled(node) <= 3 for node in nodes[1:])

    run(test)


def test_every_address_of_a_member_is_tried_and_one_that_answers_never_is_forgotten(world: World, run: Run) -> None:
    async def test() -> None:
        node, other = world.node(0), world.node(1)
        async with world.running(node, other):
            node.mesh.book.learn(other.peer, ("/ip4/10.9.9.9/tcp/1", world.address(1)), 0.0)
            node.mesh.book.learn(world.peer(7), ("/ip4/10.9.9.9/tcp/1",), 0.0)
            await world.met(node, other)
            await world.until(lambda: len(node.mesh.book) == 1, 2000)
            assert not node.local.warnings

    run(test)


def test_a_member_with_another_secret_is_not_dialled_for_ever(world: World, run: Run) -> None:
    async def test() -> None:
        node, other = world.node(0), world.node(1, membership_keys=(b"x" * 32,))
        async with world.running(node, other):
            node.mesh.book.learn(other.peer, (world.address(1),), 0.0)
            await world.until(lambda: len(node.mesh.book) == 0, 2000)

    run(test)


def test_the_address_book_survives_a_restart(world: World, tmp_path: Path) -> None:
    async def test() -> None:
        node, other = world.node(0, save_interval=0.01), world.node(1)
        with trio.fail_after(20):
            async with world.running(node):
                node.mesh.book.learn(other.peer, (world.address(1),), trio.current_time())
                path = tmp_path / "0" / "id.peers"
                while not path.exists():  # noqa: ASYNC110  # another thread or process: nothing to wait on
                    await trio.sleep(0.01)
            world.net.hosts.clear()
            again = world.node(0)
            async with world.running(again):
                assert len(again.mesh.book) == 1

    trio.run(test)


def test_a_member_that_answers_slowly_is_dialled_once_at_a_time(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        node, other = world.node(0), world.node(1)
        dial, began = node.host.dial, []

        @asynccontextmanager
        async def slow(address: Address) -> AsyncIterator[MemoryLink]:
            began.append(trio.current_time())
            await trio.sleep(2.0)
            async with dial(address) as link:
                yield link

        monkeypatch.setattr(node.host, "dial", slow)
        async with world.running(node, other):
            node.mesh.book.learn(other.peer, (world.address(1),), 0.0)
            await world.met(node, other)
            assert len(began) == 1

    run(test)


def test_an_address_book_that_did_not_change_is_not_written_again(
    world: World, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []

    async def at_once(
        work: Callable[..., None], path: Path, data: bytes, mode: int
    ) -> None:  # the test's clock would jump while trio waits for a thread
        saved.append(path)
        raise OSError("a full disk")

    monkeypatch.setattr(trio.to_thread, "run_sync", at_once)

    async def test() -> None:
        node = world.node(0, save_interval=1.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.mesh.dialer.remember, tmp_path / "peers")
            await world.until(lambda: saved)
            await trio.sleep(10)
            assert saved == [tmp_path / "peers"]
            node.mesh.book.learn(world.peer(1), (world.address(1),), 0.0)
            await world.until(lambda: len(saved) == 2)
            nursery.cancel_scope.cancel()

    run(test)


def test_a_link_of_its_own_wish_that_breaks_is_made_again(world: World, run: Run) -> None:
    async def test() -> None:
        node, other = world.node(0), world.node(1)
        async with world.running(node, other):
            node.mesh.book.learn(other.peer, (world.address(1),), 0.0)
            await world.met(node, other)
            world.net.cut(other.peer)
            await world.until(lambda: len(node.mesh.members) == 0)
            await world.until(lambda: len(node.mesh.members) == 1)
            assert dialled(node) == 1
            assert not node.local.warnings

    run(test)


def test_a_bootstrap_peer_that_changes_its_mind_does_not_fill_the_log(world: World, run: Run) -> None:
    async def test() -> None:
        node, other = world.node(1, 0), world.node(0, membership_keys=(b"x" * 32,))
        async with world.running(node) as nursery:
            for _ in range(5):
                await trio.sleep(5)
                nursery.start_soon(other.run)
                await trio.sleep(5)
                other.die()
                other = world.node(0, membership_keys=(b"x" * 32,))
            assert len(node.local.warnings) == 2

    run(test)


def test_only_what_the_configuration_names_is_a_hub(world: World, run: Run) -> None:
    async def test() -> None:
        node, named = world.node(0, 1), world.node(1, hub=True)
        async with world.running(named, node), world.guest(node, 30, hub=True, bootstrap=False):
            await world.until(lambda: len(node.mesh.members) == 2)
            assert node.mesh.members.hubs() == [named.peer]
            for number in range(100):
                node.mesh.members.add_bootstrap(f"peer-{number}")
            assert not node.mesh.members.is_bootstrap(named.peer)  # addresses are few, and so are those found at them

    run(test)
