"""Members on the local network."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import trio
import zeroconf

from p2pcache.swarm.rules import identity
from p2pcache.swarm.services import mdns
from tests.unit.swarm.conftest import Run, World

A, B = (identity.peer_id(bytes([n]) * 32) for n in (1, 2))


def record(*entries: str) -> bytes:
    return b"".join(bytes([len(entry)]) + entry.encode() for entry in entries)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (record(f"dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/{B}"), [(B, ["/ip4/10.0.0.1/tcp/1"])]),
        (
            record(f"dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/{B}", f"dnsaddr=/ip6/fd00::1/tcp/1/p2p/{B}"),
            [(B, ["/ip4/10.0.0.1/tcp/1", "/ip6/fd00::1/tcp/1"])],
        ),
        (record(f"dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/{A}"), []),
        (record("dnsaddr=/ip4/10.0.0.1/tcp/1", "other=1"), []),
        (b"", []),
        (b"\xff", []),
        (b"\x05ab", []),
    ],
    ids=["one", "two addresses", "itself", "no peer", "empty", "cut off", "cut short"],
)
def test_a_record_names_peers(text: bytes, found: list[tuple[str, list[str]]]) -> None:
    seen = []
    mdns.report(text, A, lambda peer, addresses: seen.append((peer, addresses)))
    assert seen == found


def test_two_nodes_find_each_other() -> None:
    async def test() -> None:
        seen = {}
        met = trio.Event()

        def found(peer: str, addresses: list[str]) -> None:
            if peer in (A, B):  # other nodes may announce themselves on this network
                seen[peer] = addresses
            if len(seen) == 2:
                met.set()

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for peer, port in ((A, 9001), (B, 9002)):
                    nursery.start_soon(mdns.discover, peer, (f"/ip4/127.0.0.1/tcp/{port}",), found)
                await met.wait()
                nursery.cancel_scope.cancel()
        assert seen == {A: ["/ip4/127.0.0.1/tcp/9001"], B: ["/ip4/127.0.0.1/tcp/9002"]}

    trio.run(test)


def test_members_found_are_linked(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    node, other = world.node(0, mdns=True), world.node(1)

    async def discover(peer: str, told: tuple[str, ...], found: Callable[[str, list[str]], None]) -> None:
        assert (peer, told) == (node.peer, (world.address(0),))
        found(other.peer, [world.address(1)])

    monkeypatch.setattr(mdns, "discover", discover)

    async def test() -> None:
        async with world.running(other, node):
            await world.met(node, other)

    run(test)


@pytest.mark.parametrize("bootstrap", [(), (7,)], ids=["alone", "a hub may come"])
def test_members_that_only_multicast_brings_together_are_linked_at_once(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch, bootstrap: tuple[int, ...]
) -> None:
    """With a hub to join first, links among members take their turn."""
    node, other = world.node(0, *bootstrap, mdns=True), world.node(1)

    async def discover(peer: str, told: tuple[str, ...], found: Callable[[str, list[str]], None]) -> None:
        found(other.peer, [world.address(1)])

    monkeypatch.setattr(mdns, "discover", discover)
    monkeypatch.setattr("random.uniform", lambda low, high: high)

    async def test() -> None:
        async with world.running(other, node):
            began = trio.current_time()
            await world.met(node, other)
            assert (trio.current_time() - began < 2.0) == (not bootstrap)

    run(test)


@pytest.mark.parametrize(
    ("error", "says"), [(OSError(19, "No such device"), "No such device"), (OSError(), "no multicast")]
)
def test_without_multicast_it_says_so_and_goes_on(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch, error: OSError, says: str
) -> None:
    async def discover(*_: object) -> None:
        raise error

    monkeypatch.setattr(mdns, "discover", discover)

    async def test() -> None:
        node = world.node(0, mdns=True)
        async with world.running(node):
            await world.until(lambda: node.local.warnings)
            assert node.local.warnings == [f"members on the local network are not looked for: {says}"]

    run(test)


def test_a_member_that_left_before_it_was_looked_up_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """What zeroconf calls in its own thread, without a network."""
    seen = []

    class Network:
        def get_service_info(self, kind: str, name: str, timeout: int) -> SimpleNamespace | None:
            if name == "busy":
                raise zeroconf.EventLoopBlocked
            return SimpleNamespace(text=record(f"dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/{B}")) if name == "here" else None

        def register_service(self, info: zeroconf.ServiceInfo) -> None:
            assert info.port == 9001

        def close(self) -> None:
            seen.append("closed")

    class Browser:
        def __init__(self, network: zeroconf.Zeroconf, kind: str, listener: zeroconf.ServiceListener) -> None:
            for name in ["gone", "here", "busy"]:
                listener.add_service(network, kind, name)
            listener.update_service(network, kind, "here")
            listener.remove_service(network, kind, "here")

        def cancel(self) -> None:
            seen.append("cancelled")

    monkeypatch.setattr("zeroconf.Zeroconf", Network)
    monkeypatch.setattr("zeroconf.ServiceBrowser", Browser)

    async def test() -> None:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                found = lambda peer, addresses: seen.append(peer)  # noqa: E731
                nursery.start_soon(mdns.discover, A, ("/ip4/127.0.0.1/tcp/9001",), found)
                while len(seen) < 2:  # noqa: ASYNC110  # another thread or process: nothing to wait on
                    await trio.sleep(0.001)
                nursery.cancel_scope.cancel()
        assert seen == [
            B,
            B,
            "cancelled",
            "closed",
        ]  # a browser without its zeroconf raises in its thread

    trio.run(test)


def test_a_name_that_cannot_be_registered_is_no_multicast(monkeypatch: pytest.MonkeyPatch) -> None:
    class Network:
        def register_service(self, info: zeroconf.ServiceInfo) -> None:
            raise zeroconf.EventLoopBlocked

        def close(self) -> None:
            closed.append(True)

    closed: list[bool] = []
    monkeypatch.setattr("zeroconf.Zeroconf", Network)
    with pytest.raises(OSError):
        trio.run(mdns.discover, A, ("/ip4/127.0.0.1/tcp/9001",), lambda *_: None)
    assert closed


def test_as_many_names_wait_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Network:
        def get_service_info(self, kind: str, name: str, timeout: int) -> None:
            asked.append(name)

        def register_service(self, info: zeroconf.ServiceInfo) -> None:
            pass

        def close(self) -> None:
            pass

    class Browser:
        def __init__(self, network: zeroconf.Zeroconf, kind: str, listener: zeroconf.ServiceListener) -> None:
            for number in range(1000):
                listener.add_service(network, kind, str(number))

        def cancel(self) -> None:
            pass

    monkeypatch.setattr("zeroconf.Zeroconf", Network)
    monkeypatch.setattr("zeroconf.ServiceBrowser", Browser)

    async def test() -> None:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(mdns.discover, A, ("/ip4/127.0.0.1/tcp/9001",), lambda *_: None)
                while len(asked) < mdns._WAITING:  # noqa: ASYNC110  # another thread or process: nothing to wait on
                    await trio.sleep(0.001)
                nursery.cancel_scope.cancel()
        assert asked[: mdns._WAITING] == [str(number) for number in range(mdns._WAITING)]
        assert len(asked) <= mdns._WAITING + 1

    trio.run(test)
