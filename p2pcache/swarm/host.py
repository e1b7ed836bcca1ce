"""py-libp2p, and nothing else of the swarm knows it: TCP, Noise, Yamux, one stream a peer.

Of py-libp2p 0.8.1 only the transport stack is used (multistream-select, Noise XX, Yamux, peer ids), over sockets this
module opens and accepts itself. Its `BasicHost` and `Swarm` stay out: they accept 250 inbound connections in a
process's lifetime, sleep 250 ms a dial, try one address a peer and blacklist it for a minute, ignore the hosts file,
share a port with another process in silence, announce 0.0.0.0, and offer plaintext by default.

Import this module in the swarm's thread: it takes about a second (see `lean`).
"""

# ruff: noqa: E402  -- `lean.install` has to run before libp2p is imported
from __future__ import annotations

from p2pcache.swarm import lean

lean.install()

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import NoReturn, cast

import trio
from libp2p.abc import IMuxedStream, ISecureConn
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import X25519PrivateKey
from libp2p.custom_types import TProtocol
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.protocol_muxer.generic_selector import GenericMultistreamSelector
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.exceptions import PeerIDMismatchesPubkey
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import DEFAULT_WINDOW_SIZE, Yamux, YamuxStream
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX

from p2pcache.addresses import Address
from p2pcache.swarm.rules.config import Limits, SwarmError
from p2pcache.swarm.services.admission import Admission, Stranger
from p2pcache.swarm.services.link import DialStep, Link, LinkError

PROTOCOL = TProtocol("/p2pcache/1")
STRANGER_BYTES = 64 << 10
"""What may arrive before membership is proved; the handshakes of all layers need about 2 KB."""
STRANGER_STREAMS = 8
_READ = 64 << 10
_WINDOW = 1 << 20
"""Bytes a peer may send ahead: a block of that size crosses a distant link in one round trip."""
_GOODBYE = 0.2


class _Socket(ReadWriteCloser):
    """A TCP stream as py-libp2p wants it, reading ahead: Noise asks for 2 bytes at a time."""

    def __init__(self, stream: trio.SocketStream, stranger: Stranger | None) -> None:
        self._stream = stream
        self._stranger = stranger
        self._ahead = b""
        self._allowance: int | None = STRANGER_BYTES

    async def read(self, n: int | None = None) -> bytes:
        if not self._ahead:
            if self._stranger is not None:
                self._stranger.heard = trio.current_time()  # it is silent from the first read on
            try:
                self._ahead = await self._stream.receive_some(_READ)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return b""  # Yamux takes an exception here for a passing fault and tries again for ever
            if self._allowance is not None:
                self._allowance -= len(self._ahead)
                if self._allowance < 0:
                    self._ahead = b""
            if self._stranger is not None and self._ahead:
                self._stranger.stirred()
        taken = self._ahead if n is None else self._ahead[:n]
        self._ahead = self._ahead[len(taken) :]
        return taken

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise OSError("the connection is closed") from error

    def trust(self) -> None:
        """Lift the bounds: a member is at the other end."""
        self._allowance = None
        if self._stranger is not None:
            self._stranger.leave()
            self._stranger = None

    async def close(self) -> None:
        await trio.aclose_forcefully(self._stream)

    def get_remote_address(self) -> tuple[str, int]:
        host, port = self._stream.socket.getpeername()[:2]
        return host, port

    def address(self) -> Address:
        host, port = self.get_remote_address()
        return Address("ip6" if ":" in host else "ip4", host, port)


class _Muxer(Yamux):
    """Yamux that does not buffer what no well-behaved peer sends."""

    async def _read_data_body(self, length: int) -> bytes:
        if length > _READ:
            raise OSError("a Yamux frame larger than 64 KiB")
        return await super()._read_data_body(length)


class _Link:
    """One negotiated stream of a connection; see `link.Link`."""

    def __init__(self, muxer: Yamux, stream: YamuxStream, tcp: _Socket, address: Address, *, dialled: bool) -> None:
        self.peer = muxer.peer_id.to_base58()
        self.address = str(address)
        self.dialled = dialled
        self._muxer = muxer
        self._stream = stream
        self._tcp = tcp
        self._owed = _WINDOW - DEFAULT_WINDOW_SIZE

    async def read(self) -> bytes:
        # Not the stream's own `read`, which answers every frame with a window update: an encryption, a write and a
        # wake-up of the sender each. As in hashicorp's Yamux, credit is given back half a window at a time.
        try:
            data = await self._muxer.read_stream(self._stream.stream_id, _READ)
            self._owed += len(data)
            if self._owed >= _WINDOW // 2:
                credit, self._owed = self._owed, 0
                self._stream.recv_window += credit
                await self._stream.send_window_update(credit)
        except Exception:  # noqa: BLE001  # py-libp2p has no common base of what a closed stream raises
            return b""
        return data

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.write(data)
        except Exception as error:
            raise LinkError("the connection is closed") from error

    def trust(self) -> None:
        self._tcp.trust()


class LibP2PHost:
    """A libp2p peer; see `link.Host`.

    Args:
        seed: 32 bytes, the Ed25519 private key.
        listen: where; port 0 takes a free one.
        limits: bounds and deadlines.
    """

    def __init__(self, seed: bytes, listen: Address, limits: Limits) -> None:
        keys = create_new_key_pair(seed)
        self._id = ID.from_pubkey(keys.public_key)
        self.peer = self._id.to_base58()
        self._limits = limits
        self._listen = listen
        self._listeners: Sequence[trio.SocketListener] = ()
        self._admission = Admission(limits)
        self._noise = Noise(keys, X25519PrivateKey.new())
        self._security: GenericMultistreamSelector[None] = GenericMultistreamSelector()
        self._security.add_handler(NOISE, None)
        self._muxing: GenericMultistreamSelector[None] = GenericMultistreamSelector()
        self._muxing.add_handler(TProtocol(YAMUX), None)
        self._protocols: GenericMultistreamSelector[None] = GenericMultistreamSelector()
        self._protocols.add_handler(PROTOCOL, None)

    async def bind(self, *, any_port: bool = False) -> Address:
        """See `link.Host.bind`."""
        wanted = self._listen
        try:
            # Without SO_REUSEPORT, so a port another process has is an error and not a lottery.
            port = 0 if any_port else wanted.port
            self._listeners = await trio.open_tcp_listeners(port, host=wanted.host, backlog=512)
        except OSError as error:
            raise SwarmError(
                f"the swarm cannot listen on {wanted} ({error.strerror or 'not possible'}): "
                "stop what listens there, or choose another port with CACHE_LISTEN_PORT or --p2p-listen"
            ) from None
        return Address(wanted.kind, wanted.host, self._listeners[0].socket.getsockname()[1])

    async def serve(self, handler: Callable[[Link], Awaitable[None]]) -> NoReturn:
        """See `link.Host.serve`."""

        async def accept(stream: trio.SocketStream) -> None:
            try:
                stranger = self._admission.enter(stream.socket.getpeername()[0])
            except OSError:
                stranger = None  # it is gone already
            if stranger is None:
                await trio.aclose_forcefully(stream)
                return
            try:
                with stranger.scope:
                    await stranger.admitted.wait()
                    async with self._upgraded(_Socket(stream, stranger), None, None) as link:
                        await handler(link)
            except LinkError:
                pass  # a stranger that is no libp2p peer, or gone: not worth a line in the log
            finally:
                stranger.leave()
                await trio.aclose_forcefully(stream)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._admission.run)
            await trio.serve_listeners(accept, self._listeners)

    @asynccontextmanager
    async def dial(self, address: Address) -> AsyncIterator[Link]:
        """See `link.Host.dial`."""
        stream = await self._connect(address)
        async with self._upgraded(_Socket(stream, None), address, address.peer) as link:
            yield link

    async def _connect(self, address: Address) -> trio.SocketStream:
        why, step = "it did not answer", DialStep.NAME
        with trio.move_on_after(self._limits.dial_timeout):
            try:
                # getaddrinfo, unlike py-libp2p's resolver, knows the hosts file and Docker's names.
                found = await trio.socket.getaddrinfo(address.host, address.port, address.family, socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                raise LinkError("its name cannot be resolved", DialStep.NAME) from None
            step = DialStep.TCP
            for *_, target in found:
                with trio.move_on_after(self._limits.dial_timeout / len(found)):
                    try:
                        return await trio.open_tcp_stream(target[0], target[1])
                    except OSError as error:
                        why = _why(error)
        raise LinkError(why, step)

    @asynccontextmanager
    async def _upgraded(self, wire: _Socket, address: Address | None, expected: str | None) -> AsyncIterator[Link]:
        """Go from a TCP stream to our protocol's stream; close everything at the end."""
        try:
            dialled = address is not None
            with _deadline(self._limits.handshake_timeout, DialStep.NOISE):
                seen = address.bare() if address else wire.address()
                muxer = await self._secured(RawConnection(wire, dialled), expected)
            failure: LinkError | None = None
            async with trio.open_nursery() as nursery:
                nursery.start_soon(muxer.start)
                try:
                    with _deadline(self._limits.handshake_timeout, DialStep.PROTOCOL):
                        stream = await (self._open(muxer) if dialled else self._accept(muxer))
                    nursery.start_soon(_refuse_streams, muxer)
                    yield _Link(muxer, stream, wire, seen, dialled=dialled)
                except LinkError as error:
                    failure = error  # raised below: here the nursery would wrap it in a group
                finally:
                    with trio.CancelScope(deadline=trio.current_time() + _GOODBYE, shield=True):
                        await muxer.close()
                    nursery.cancel_scope.cancel()
            if failure:
                raise failure
        finally:
            await wire.close()

    async def _secured(self, raw: RawConnection, expected: str | None) -> Yamux:
        await self._security.select(raw, raw.is_initiator)
        pattern = self._noise.get_pattern()
        secured: ISecureConn
        if raw.is_initiator:
            secured = await pattern.handshake_outbound(raw, ID.from_base58(expected) if expected else None)
        else:
            secured = await pattern.handshake_inbound(raw)
        await self._muxing.select(secured, raw.is_initiator)
        return _Muxer(secured, secured.get_remote_peer(), is_initiator=raw.is_initiator)

    async def _open(self, muxer: Yamux) -> YamuxStream:
        await muxer.event_started.wait()
        stream = await muxer.open_stream()
        await self._protocols.multiselect_client.select_one_of([PROTOCOL], MultiselectCommunicator(stream))
        return stream

    async def _accept(self, muxer: Yamux) -> YamuxStream:
        """Return the first stream that asks for our protocol; a stock libp2p peer opens others (identify) as well."""
        ours, chosen = trio.open_memory_channel[YamuxStream](STRANGER_STREAMS)

        async def negotiate(stream: IMuxedStream) -> None:
            try:
                await self._protocols.multiselect.negotiate(MultiselectCommunicator(stream))
                ours.send_nowait(cast("YamuxStream", stream))
            except Exception:  # noqa: BLE001  # whatever a stranger's stream fails with, it is only that stream
                return

        async def streams() -> None:
            for _ in range(STRANGER_STREAMS):
                nursery.start_soon(negotiate, await muxer.accept_stream())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(streams)
            stream = await chosen.receive()
            nursery.cancel_scope.cancel()
        return stream


async def _refuse_streams(muxer: Yamux) -> None:
    """Reset every other stream than the one a peer has, so that nothing is buffered for it."""
    try:
        while True:
            await (await muxer.accept_stream()).reset()
    except Exception:  # noqa: BLE001  # the connection is closed, in one of py-libp2p's many words
        return


@contextmanager
def _deadline(seconds: float, step: DialStep) -> Iterator[None]:
    """Bound a handshake step, and turn whatever a stranger can make it raise into `LinkError`."""
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise LinkError("it did not finish the handshake in time", step) from None
    except PeerIDMismatchesPubkey:
        raise LinkError("another peer answers there: check the peer id after /p2p/", DialStep.PEER_ID) from None
    except Exception as error:
        raise LinkError("it hung up during the handshake, or is no libp2p peer", step) from error


def _why(error: OSError) -> str:
    """Return the reason; a refused connection is the usual mistake and deserves its own words."""
    causes = error.__cause__.exceptions if isinstance(error.__cause__, BaseExceptionGroup) else (error.__cause__,)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "nothing listens there"
    return "it cannot be reached"
