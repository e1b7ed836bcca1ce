"""py-libp2p over loopback: strangers that are no libp2p peers, or no good ones."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trio

from p2pcache.addresses import Address
from p2pcache.swarm import Limits
from p2pcache.swarm.host import STRANGER_BYTES, STRANGER_STREAMS, LibP2PHost, _Link
from p2pcache.swarm.services.link import LinkError
from tests.unit.swarm.host_lab import ANY, PATIENT, QUICK, host, read, scene

from libp2p.crypto.keys import KeyType, PublicKey  # isort: skip  # after the host, which loads little of it

if TYPE_CHECKING:
    from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream


@pytest.mark.parametrize(
    ("speak", "says"),
    [(b"", "in time"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "in time|no libp2p peer"), (None, "hung up")],
    ids=["says nothing", "HTTP", "hangs up"],
)
def test_what_is_no_libp2p_peer(speak: bytes | None, says: str) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        if speak is not None:
            await stream.send_all(speak)
            await trio.sleep(5)
        await stream.aclose()

    async def test() -> None:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, serve, 0)
            port = listeners[0].socket.getsockname()[1]
            with pytest.raises(LinkError, match=says):
                async with host(2, QUICK).dial(replace(ANY, port=port)):
                    pass
            nursery.cancel_scope.cancel()

    trio.run(test)


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"", b"\x00" * 3 * STRANGER_BYTES], ids=["HTTP", "silence", "flood"]
)
def test_a_stranger_is_closed_and_members_are_still_served(said: bytes) -> None:
    async def test(server: LibP2PHost, address: Address) -> None:
        stranger = await trio.open_tcp_stream("127.0.0.1", address.port)
        with suppress(trio.BrokenResourceError):
            await stream_all(stranger, said)
        async with host(2).dial(address) as link:
            link.trust()
            await link.write(b"x")
            assert await read(link, 1) == b"x"
        await stranger.aclose()

    async def stream_all(stranger: trio.SocketStream, said: bytes) -> None:
        await stranger.send_all(said)
        with trio.fail_after(5):
            while await stranger.receive_some():
                pass

    scene(test, QUICK)


def test_a_stranger_with_a_key_of_another_kind_is_refused_and_members_are_still_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = host(2)
    proper = client._noise.libp2p_privkey

    class Odd(type(proper)):  # type: ignore[misc]  # the class of a library without types
        """Signs as a member does, and says that its key is one on secp256k1."""

        def get_public_key(self) -> PublicKey:
            key = proper.get_public_key()
            monkeypatch.setattr(key, "get_type", lambda: KeyType.Secp256k1)
            return key

    client._noise.libp2p_privkey = Odd(vars(proper)["impl"])

    async def test(server: LibP2PHost, address: Address) -> None:
        with pytest.raises(LinkError):
            await echoed(client, address)
        assert await echoed(host(3), address) == b"x"

    async def echoed(client: LibP2PHost, address: Address) -> bytes:
        async with client.dial(address) as link:
            link.trust()
            await link.write(b"x")
            return await read(link, 1)

    scene(test)


def test_a_mute_stranger_gives_way_to_a_member() -> None:
    async def test(server: LibP2PHost, address: Address) -> None:
        waiting = [await trio.open_tcp_stream("127.0.0.1", address.port) for _ in range(PATIENT.handshakes)]
        for stream in waiting:
            await stream.receive_some()  # all places are taken
        async with host(2).dial(address) as link:
            await link.write(b"x")
            assert await read(link, 1) == b"x"
            assert len(server._admission) == 1  # the other stranger: who is trusted is at the door no more
        for stream in waiting:
            await stream.aclose()

    scene(test)


def test_a_connection_that_nobody_may_wait_with_is_closed() -> None:
    async def test(server: LibP2PHost, address: Address) -> None:
        streams = [await trio.open_tcp_stream("127.0.0.1", address.port) for _ in range(4)]
        with suppress(trio.BrokenResourceError):
            assert await streams[-1].receive_some() == b""
        for stream in streams:
            await stream.aclose()

    scene(test, Limits(handshakes=2, waiting=1, mute=30.0))


def test_a_connection_that_is_gone_before_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: str) -> None:
        monkeypatch.undo()
        raise OSError

    async def test(server: LibP2PHost, address: Address) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", address.port)
        with suppress(trio.BrokenResourceError):
            assert await stream.receive_some() == b""
        await stream.aclose()
        async with host(2).dial(address) as link:
            assert link.peer == server.peer

    from p2pcache.swarm.services.admission import Admission

    monkeypatch.setattr(Admission, "enter", lambda _, host: gone(host))
    scene(test)


def test_a_peer_that_is_not_trusted_yet_can_send_little() -> None:
    closed = trio.Event()

    async def distrust(link: _Link) -> None:
        while await link.read():
            pass
        closed.set()

    async def test(server: LibP2PHost, address: Address) -> None:
        async with host(2).dial(address) as link:
            link.trust()
            with pytest.raises(LinkError):  # noqa: PT012  # how many it takes is not certain
                for _ in range(10_000):
                    await link.write(bytes(10_000))
            await closed.wait()

    scene(test, handler=distrust)


def test_further_streams_of_a_peer_are_refused() -> None:
    from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamReset  # as `host` loaded it

    async def test(server: LibP2PHost, address: Address) -> None:
        async with host(2).dial(address) as link:
            assert isinstance(link, _Link)
            muxer = link._stream.conn
            for _ in range(3):
                stream = await muxer.open_stream()
                with pytest.raises((MuxedStreamReset, MuxedStreamEOF)):
                    await stream.read(1)
            link.trust()
            await link.write(b"still")
            assert await read(link, 5) == b"still"

    scene(test)


def test_an_oversized_frame_below_us_closes_the_connection() -> None:
    async def test(server: LibP2PHost, address: Address) -> None:
        async with host(2).dial(address) as link:
            link.trust()
            assert isinstance(link, _Link)
            muxer = link._stream.conn
            await link.write(b"x")
            await read(link, 1)
            header = b"\x00\x00\x00\x00" + link._stream.stream_id.to_bytes(4, "big") + (1 << 20).to_bytes(4, "big")
            await muxer.secured_conn.write(header)
            assert await link.read() == b""

    scene(test)


def test_more_connections_than_a_stock_host_accepts_in_its_life() -> None:
    """py-libp2p's own host refuses the 251st."""

    async def test(server: LibP2PHost, address: Address) -> None:
        client = host(2, replace(PATIENT, handshakes=64))
        for _ in range(26):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(once, client, address)

    async def once(client: LibP2PHost, address: Address) -> None:
        async with client.dial(address) as link:
            assert link.peer

    scene(test, replace(PATIENT, handshakes=64), seconds=200)


class Another(LibP2PHost):
    """A libp2p peer that asks for other protocols on `streams` streams, and then for ours."""

    streams = STRANGER_STREAMS

    async def _open(self, muxer: Yamux) -> YamuxStream:
        await muxer.event_started.wait()
        for _ in range(self.streams):
            await (await muxer.open_stream()).reset()
        return await super()._open(muxer)


def another(seed: int, streams: int) -> Another:
    made = Another(bytes([seed]) * 32, ANY, PATIENT)
    made.streams = streams
    return made


def test_a_peer_that_opens_other_streams_first_is_served() -> None:
    async def test(server: LibP2PHost, address: Address) -> None:
        async with another(2, STRANGER_STREAMS - 1).dial(address) as link:
            await link.write(b"x")
            assert await read(link, 1) == b"x"

    scene(test)


def test_a_stranger_that_opens_stream_after_stream_is_closed() -> None:
    async def test(server: LibP2PHost, address: Address) -> None:
        with pytest.raises(LinkError):
            async with another(2, STRANGER_STREAMS).dial(address):
                pass
        async with host(3).dial(address) as link:
            await link.write(b"x")
            assert await read(link, 1) == b"x"

    scene(test, QUICK)
