"""py-libp2p over loopback: links, and strangers that are no libp2p peers."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
import trio

from p2pcache.addresses import Address, parse
from p2pcache.swarm import SwarmError
from p2pcache.swarm import host as hosts
from p2pcache.swarm.host import LibP2PHost, _Link
from p2pcache.swarm.rules import identity
from p2pcache.swarm.services.link import LinkError
from tests.unit.swarm.host_lab import ANY, PATIENT, QUICK, echo, host, read, scene


def test_reading_is_not_answered_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window update for each would be an encryption, a write and a wake-up of the sender."""
    write, writes = hosts._Socket.write, []
    took, taken = trio.open_memory_channel[bytes](1)

    async def counted(self: hosts._Socket, data: bytes) -> None:
        writes.append(len(data))
        await write(self, data)

    async def sink(link: _Link) -> None:
        link.trust()
        while data := await link.read():
            await took.send(data)

    async def test(server: LibP2PHost, address: Address) -> None:
        async with host(2).dial(address) as link:
            await link.write(b"first")
            await taken.receive()
            before = len(writes)
            for _ in range(100):
                await link.write(b"frame")
                await taken.receive()
            assert 100 <= len(writes) - before < 110  # pings may pass

    monkeypatch.setattr(hosts._Socket, "write", counted)
    scene(test, handler=sink)


@pytest.mark.parametrize("named", [True, False], ids=["with its id", "whoever is there"])
def test_a_link_carries_bytes_both_ways(named: bool) -> None:
    async def test(server: LibP2PHost, address: Address) -> None:
        client = host(2)
        async with client.dial(replace(address, peer=server.peer if named else None)) as link:
            assert link.peer == server.peer == identity.peer_id(bytes([1]) * 32)
            assert link.dialled
            assert link.address == str(address)
            link.trust()
            for size in (1, 70_000, 600_000):
                sent = bytes(range(256)) * (size // 256 + 1)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(link.write, sent)
                    assert await read(link, len(sent)) == sent

    scene(test)


def test_names_are_resolved_by_the_hosts_file() -> None:
    async def test(server: LibP2PHost, address: Address) -> None:
        async with host(2).dial(parse(f"/dns4/localhost/tcp/{address.port}")) as link:
            assert link.peer == server.peer

    scene(test)


def test_another_peer_than_expected_is_refused() -> None:
    async def test(server: LibP2PHost, address: Address) -> None:
        with pytest.raises(LinkError, match="another peer answers there"):
            async with host(2).dial(replace(address, peer=identity.peer_id(bytes([9]) * 32))):
                pass

    scene(test)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("/ip4/127.0.0.1/tcp/1", "nothing listens there"),
        ("/dns4/nosuch.invalid/tcp/1", "its name cannot be resolved"),
        (f"/dns4/{'x' * 64}.local/tcp/1", "its name cannot be resolved"),
        ("/ip4/255.255.255.255/tcp/1", "it cannot be reached"),
        ("/ip6/100::1/tcp/1", "cannot be reached|did not answer|nothing listens"),
    ],
)
def test_where_nobody_can_be_reached(address: str, says: str) -> None:
    async def test() -> None:
        with pytest.raises(LinkError, match=says):
            async with host(2, QUICK).dial(
                parse(address) if "x" * 64 not in address else replace(parse("/dns4/a/tcp/1"), host="x" * 64)
            ):
                pass

    trio.run(test)


def test_a_dial_that_nobody_answers_ends() -> None:
    """A listener whose queue is full drops what comes, as a firewall does."""

    async def test() -> None:
        with socket.socket() as wall, socket.socket() as first, socket.socket() as second:
            wall.bind(("127.0.0.1", 0))
            wall.listen(0)
            for filler in (first, second):
                filler.setblocking(False)
                filler.connect_ex(wall.getsockname())
            with pytest.raises(LinkError, match=r"did not answer|handshake"):
                async with host(2, QUICK).dial(replace(ANY, port=wall.getsockname()[1])):
                    pass

    trio.run(test)


def test_a_busy_port_is_one_sentence() -> None:
    async def test(server: LibP2PHost, address: Address) -> None:
        with pytest.raises(SwarmError, match=r"cannot listen on .* \(Address already in use\): stop what listens"):
            await LibP2PHost(bytes([3]) * 32, address, PATIENT).bind()

    scene(test)


def test_any_other_port_is_one_that_is_listened_on() -> None:
    async def test(server: LibP2PHost, address: Address) -> None:
        other = LibP2PHost(bytes([3]) * 32, address, PATIENT)
        elsewhere = await other.bind(any_port=True)
        assert elsewhere.host == address.host
        assert elsewhere.port not in (0, address.port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.serve, echo)
            async with host(2).dial(elsewhere) as link:
                assert link.peer == other.peer
            nursery.cancel_scope.cancel()

    scene(test)


def test_a_link_that_is_closed_says_so() -> None:
    async def hang_up(link: _Link) -> None:
        await link.read()

    async def test(server: LibP2PHost, address: Address) -> None:
        async with host(2).dial(address) as link:
            await link.write(b"x")
            assert await link.read() == b""
            with pytest.raises(LinkError):  # noqa: PT012  # how many it takes is not certain
                for _ in range(100):
                    await link.write(bytes(60_000))

    scene(test, handler=hang_up)


def test_ipv6() -> None:
    async def start() -> None:
        with trio.fail_after(10):
            server = LibP2PHost(bytes([1]) * 32, parse("/ip6/::1/tcp/0", listen=True), PATIENT)
            address = await server.bind()
            seen = []

            async def look(link: _Link) -> None:
                seen.append(link.address)
                await link.read()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.serve, look)
                async with host(2).dial(address) as link:
                    await link.write(b"x")
                    await link.read()
                nursery.cancel_scope.cancel()
            assert seen[0].startswith("/ip6/::1/tcp/")

    trio.run(start)


def test_loading_it_leaves_the_process_as_it_was() -> None:
    script = """
import logging, sys
before = logging.getLogger().handlers[:], logging.getLogger().level
import p2pcache.swarm
assert "trio" in sys.modules
assert not [name for name in sys.modules if name.startswith("libp2p")], "libp2p is loaded too early"
import p2pcache.swarm.host
assert (logging.getLogger().handlers, logging.getLogger().level) == before
for heavy in ("fastecdsa", "zeroconf", "aiortc", "websockets"):
    assert heavy not in sys.modules, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_py_libp2p_logs_nothing_of_its_own() -> None:
    assert logging.getLogger("libp2p").propagate is False
