"""py-libp2p over loopback: links, and strangers that are no libp2p peers."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import pytest
import trio

from p2pcache.swarm import Limits, SwarmError, identity
from p2pcache.swarm import host as hosts
from p2pcache.swarm.host import STRANGER_BYTES, STRANGER_STREAMS, LibP2PHost
from p2pcache.swarm.link import LinkError
from p2pcache.swarm.multiaddrs import parse

ANY = parse("/ip4/127.0.0.1/tcp/0", listen=True)
PATIENT = Limits(handshakes=2)
QUICK = replace(PATIENT, handshake_timeout=1.0, dial_timeout=1.0)
"""Where the deadline is what the test waits for; elsewhere a starved machine must not meet it."""


def host(seed: int, limits: Limits = PATIENT) -> LibP2PHost:
    return LibP2PHost(bytes([seed]) * 32, ANY, limits)


async def echo(link):
    link.trust()
    try:
        while data := await link.read():
            await link.write(data)
    except LinkError:
        pass


def scene(test, limits=PATIENT, handler=echo):
    async def start():
        with trio.fail_after(50):
            server = host(1, limits)
            address = await server.bind()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.serve, handler)
                await test(server, address)
                nursery.cancel_scope.cancel()

    trio.run(start)


async def read(link, size):
    data = b""
    while len(data) < size:
        data += await link.read()
    return data


def test_reading_is_not_answered_frame_by_frame(monkeypatch):
    """A window update for each would be an encryption, a write and a wake-up of the sender."""
    write, writes = hosts._Socket.write, []
    took, taken = trio.open_memory_channel(1)

    async def counted(self, data):
        writes.append(len(data))
        await write(self, data)

    async def sink(link):
        link.trust()
        while data := await link.read():
            await took.send(data)

    async def test(_, address):
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
def test_a_link_carries_bytes_both_ways(named):
    async def test(server, address):
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


def test_names_are_resolved_by_the_hosts_file():
    async def test(server, address):
        async with host(2).dial(parse(f"/dns4/localhost/tcp/{address.port}")) as link:
            assert link.peer == server.peer

    scene(test)


def test_another_peer_than_expected_is_refused():
    async def test(server, address):
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
def test_where_nobody_can_be_reached(address, says):
    async def test():
        with pytest.raises(LinkError, match=says):
            async with host(2, QUICK).dial(
                parse(address) if "x" * 64 not in address else replace(parse("/dns4/a/tcp/1"), host="x" * 64)
            ):
                pass

    trio.run(test)


def test_a_dial_that_nobody_answers_ends():
    """A listener whose queue is full drops what comes, as a firewall does."""

    async def test():
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


@pytest.mark.parametrize(
    ("speak", "says"),
    [(b"", "in time"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "in time|no libp2p peer"), (None, "hung up")],
    ids=["says nothing", "HTTP", "hangs up"],
)
def test_what_is_no_libp2p_peer(speak, says):
    async def serve(stream):
        if speak is not None:
            await stream.send_all(speak)
            await trio.sleep(5)
        await stream.aclose()

    async def test():
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, serve, 0)
            port = listeners[0].socket.getsockname()[1]
            with pytest.raises(LinkError, match=says):
                async with host(2, QUICK).dial(replace(ANY, port=port)):
                    pass
            nursery.cancel_scope.cancel()

    trio.run(test)


def test_a_busy_port_is_one_sentence():
    async def test(server, address):
        with pytest.raises(SwarmError, match=r"cannot listen on .* \(Address already in use\): stop what listens"):
            await LibP2PHost(bytes([3]) * 32, address, PATIENT).bind()

    scene(test)


def test_any_other_port_is_one_that_is_listened_on():
    async def test(server, address):
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


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"", b"\x00" * 3 * STRANGER_BYTES], ids=["HTTP", "silence", "flood"]
)
def test_a_stranger_is_closed_and_members_are_still_served(said):
    async def test(server, address):
        stranger = await trio.open_tcp_stream("127.0.0.1", address.port)
        with suppress(trio.BrokenResourceError):
            await stream_all(stranger, said)
        async with host(2).dial(address) as link:
            link.trust()
            await link.write(b"x")
            assert await read(link, 1) == b"x"
        await stranger.aclose()

    async def stream_all(stranger, said):
        await stranger.send_all(said)
        with trio.fail_after(5):
            while await stranger.receive_some():
                pass

    scene(test, QUICK)


def test_a_mute_stranger_gives_way_to_a_member():
    async def test(server, address):
        waiting = [await trio.open_tcp_stream("127.0.0.1", address.port) for _ in range(PATIENT.handshakes)]
        for stream in waiting:
            await stream.receive_some()  # all places are taken
        async with host(2).dial(address) as link:
            await link.write(b"x")
            assert await read(link, 1) == b"x"
            assert len(server._door) == 1  # the other stranger: who is trusted is at the door no more
        for stream in waiting:
            await stream.aclose()

    scene(test)


def test_a_connection_that_nobody_may_wait_with_is_closed():
    async def test(server, address):
        streams = [await trio.open_tcp_stream("127.0.0.1", address.port) for _ in range(4)]
        with suppress(trio.BrokenResourceError):
            assert await streams[-1].receive_some() == b""
        for stream in streams:
            await stream.aclose()

    scene(test, Limits(handshakes=2, waiting=1, mute=30.0))


def test_a_connection_that_is_gone_before_it_is_looked_at(monkeypatch):
    def gone(_):
        monkeypatch.undo()
        raise OSError

    async def test(server, address):
        stream = await trio.open_tcp_stream("127.0.0.1", address.port)
        with suppress(trio.BrokenResourceError):
            assert await stream.receive_some() == b""
        await stream.aclose()
        async with host(2).dial(address) as link:
            assert link.peer == server.peer

    from p2pcache.swarm.door import Door

    monkeypatch.setattr(Door, "knock", lambda _, host: gone(host))
    scene(test)


def test_a_peer_that_is_not_trusted_yet_can_send_little():
    closed = trio.Event()

    async def distrust(link):
        while await link.read():
            pass
        closed.set()

    async def test(server, address):
        async with host(2).dial(address) as link:
            link.trust()
            with pytest.raises(LinkError):  # noqa: PT012  # how many it takes is not certain
                for _ in range(10_000):
                    await link.write(bytes(10_000))
            await closed.wait()

    scene(test, handler=distrust)


def test_further_streams_of_a_peer_are_refused():
    from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamReset  # as `host` loaded it

    async def test(server, address):
        async with host(2).dial(address) as link:
            muxer = link._stream.conn
            for _ in range(3):
                stream = await muxer.open_stream()
                with pytest.raises((MuxedStreamReset, MuxedStreamEOF)):
                    await stream.read(1)
            link.trust()
            await link.write(b"still")
            assert await read(link, 5) == b"still"

    scene(test)


def test_an_oversized_frame_below_us_closes_the_connection():
    async def test(server, address):
        async with host(2).dial(address) as link:
            link.trust()
            muxer = link._stream.conn
            await link.write(b"x")
            await read(link, 1)
            header = b"\x00\x00\x00\x00" + link._stream.stream_id.to_bytes(4, "big") + (1 << 20).to_bytes(4, "big")
            await muxer.secured_conn.write(header)
            assert await link.read() == b""

    scene(test)


def test_a_link_that_is_closed_says_so():
    async def hang_up(link):
        await link.read()

    async def test(server, address):
        async with host(2).dial(address) as link:
            await link.write(b"x")
            assert await link.read() == b""
            with pytest.raises(LinkError):  # noqa: PT012  # how many it takes is not certain
                for _ in range(100):
                    await link.write(bytes(60_000))

    scene(test, handler=hang_up)


def test_more_connections_than_a_stock_host_accepts_in_its_life():
    """py-libp2p's own host refuses the 251st."""

    async def test(server, address):
        client = host(2, Limits())
        for _ in range(26):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(once, client, address)

    async def once(client, address):
        async with client.dial(address) as link:
            assert link.peer

    scene(test, Limits())


def test_ipv6():
    async def start():
        with trio.fail_after(10):
            server = LibP2PHost(bytes([1]) * 32, parse("/ip6/::1/tcp/0", listen=True), PATIENT)
            address = await server.bind()
            seen = []

            async def look(link):
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


def test_loading_it_leaves_the_process_as_it_was():
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


def test_py_libp2p_logs_nothing_of_its_own():
    assert logging.getLogger("libp2p").propagate is False


class Another(LibP2PHost):
    """A libp2p peer that asks for other protocols on `streams` streams, and then for ours."""

    streams = STRANGER_STREAMS

    async def _open(self, muxer):
        await muxer.event_started.wait()
        for _ in range(self.streams):
            await (await muxer.open_stream()).reset()
        return await super()._open(muxer)


def another(seed, streams):
    made = Another(bytes([seed]) * 32, ANY, PATIENT)
    made.streams = streams
    return made


def test_a_peer_that_opens_other_streams_first_is_served():
    async def test(server, address):
        async with another(2, STRANGER_STREAMS - 1).dial(address) as link:
            await link.write(b"x")
            assert await read(link, 1) == b"x"

    scene(test)


def test_a_stranger_that_opens_stream_after_stream_is_closed():
    async def test(server, address):
        with pytest.raises(LinkError):
            async with another(2, STRANGER_STREAMS).dial(address):
                pass
        async with host(3).dial(address) as link:
            await link.write(b"x")
            assert await read(link, 1) == b"x"

    scene(test, QUICK)
