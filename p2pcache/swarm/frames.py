"""What goes over the wire between two members: length-prefixed msgpack, one struct a frame.

A frame is a 4-byte big-endian length and that many bytes of msgpack: an array whose first element says which
frame it is. Everything a peer sends is decoded against these types, so a wrong shape, size or version never gets
further than `FrameDecoder`. Fields are only ever added at the end (an older node ignores them); anything else is a
new `MAJOR`, which older nodes refuse by name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from p2pcache.cache.entry import Cid, Digest, Pointer, Short, Size, Unix

MAJOR = 2
MINOR = 0
MAGIC = "p2pcache"

FRAME_MAX = 65_000
"""Largest frame. With its headers it fits one Noise message (65,535 bytes) and one Yamux frame."""
CHUNK = 64_000
"""Bytes of a block in one frame: a large block is many frames, so that pings and announcements pass between them."""

HAVE_MAX = 1_024
"""Pointers in one announcement."""

Token = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Topics = Annotated[tuple[Short, ...], Meta(max_length=256)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
"""Ed25519, by the peer whose id stands beside it; see `statements`."""
PeerName = Annotated[str, Meta(min_length=40, max_length=64, pattern="^[1-9A-HJ-NP-Za-km-z]+$")]
Holder = Annotated[str, Meta(max_length=64)]
"""A peer id or "", as an arbiter says it and as it is said to the next one: what is accepted can be sent on."""
Addresses = Annotated[tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=8)]


def heard(pointer: Pointer, skew: float, now: float) -> Pointer:
    """A member's pointer as this node sees it: `skew` is the sender's clock minus ours, in seconds.

    Nothing was proved in the future.
    """
    proved = max(0.0, min(pointer.proved_at - skew, now))
    expires = max(0.0, proved + (pointer.expires_at - pointer.proved_at))
    return msgspec.structs.replace(pointer, proved_at=proved, expires_at=expires)


def wire(pointer: Pointer | None) -> Pointer | None:
    """A pointer that can be sent, or None for one that peers would refuse: a link or topic list beyond its bounds."""
    try:
        return None if pointer is None else msgspec.convert(msgspec.structs.astuple(pointer), Pointer)
    except msgspec.ValidationError:
        return None


class Frame(msgspec.Struct, array_like=True):
    """Base of all frames."""


class Hello(Frame, tag=1):
    """First frame of both sides. Says nothing about the node that a stranger may not know."""

    magic: Annotated[str, Meta(max_length=16)]
    major: Annotated[int, Meta(ge=0, le=2**16)]
    minor: Annotated[int, Meta(ge=0, le=2**16)]
    nonce: Digest
    clock: Unix


class Proof(Frame, tag=2):
    """Second frame of both sides: see `proof`."""

    mac: Digest


class Welcome(Frame, tag=3):
    """Third: the other side's proof was accepted. `addresses` are where this member can be dialled."""

    hub: bool
    addresses: Addresses


class Bye(Frame, tag=4):
    """Last frame of a session: a `reasons.Reason`."""

    reason: Annotated[int, Meta(ge=0, le=255)]


class Have(Frame, tag=5):
    """The sender can deliver these blocks (a hub: by asking whoever announced them)."""

    pointers: Annotated[tuple[Pointer, ...], Meta(max_length=HAVE_MAX)]


class Get(Frame, tag=6):
    """Ask for a block; answered by `Part`s or a `Miss` with the same id."""

    id: Token
    cid: Cid


class Part(Frame, tag=7):
    """The next bytes of a block of `total` bytes."""

    id: Token
    total: Size
    data: Annotated[bytes, Meta(max_length=CHUNK)]


class Miss(Frame, tag=8):
    """The block asked for cannot be had here."""

    id: Token


class Drop(Frame, tag=9):
    """Forget what carries one of `topics`; answered by `Ack` once forgotten.

    `origin` and `serial` name the invalidation, so that it is done once however many ways it comes, and `origin` has
    signed it, so that nobody can take its name; `age` is how many seconds ago it happened, so that what was proved
    since then stays.
    """

    id: Token
    origin: PeerName
    serial: Token
    age: Annotated[float, Meta(ge=0, le=86_400)]
    topics: Topics
    scope: Short | None
    signature: Signature


class Ack(Frame, tag=10):
    """Done what the frame with this id asked."""

    id: Token


class Ask(Frame, tag=11):
    """LEASE: may I ask GitHub for `resource` on behalf of all? Answered by `Grant` or `Wait`, later `Free`.

    `at`, by the asker's clock, and `signature` show those who are to wait that somebody really asks; `exclude`: what
    these peers left could not be had.
    """

    id: Token
    resource: Digest
    scope: Short
    at: Unix
    signature: Signature
    exclude: Annotated[tuple[Holder, ...], Meta(max_length=8)] = ()


class Grant(Frame, tag=12):
    """Yes, ask. Ends with `Release`. `pointer`: what `holder`, of another scope, has just left."""

    id: Token
    pointer: Pointer | None
    holder: Holder


class Wait(Frame, tag=13):
    """Somebody is asking, `holder`, which said so with `at` and `signature`: `Grant` or `Free` follows."""

    id: Token
    holder: PeerName
    at: Unix
    signature: Signature


class Release(Frame, tag=14):
    """The asker (holder or waiter) is done; `pointer` is what the others may now find.

    `undone`: the holder has not asked and will not; the next waiter is to take its place.
    """

    id: Token
    pointer: Pointer | None
    undone: bool = False


class Free(Frame, tag=15):
    """The holder is done; `pointer` is what it left."""

    id: Token
    pointer: Pointer | None
    holder: Holder


class Quota(Frame, tag=16):
    """The bucket of a scope as a member saw it at `at` (sender's clock)."""

    scope: Short
    at: Unix
    state: Annotated[bytes, Meta(max_length=1_024)]


class Known(msgspec.Struct, frozen=True, array_like=True):
    """A member and where it can be dialled (nowhere: only through the sender)."""

    peer: PeerName
    addresses: Addresses


class Peers(Frame, tag=17):
    """Members the sender is connected to. `gone` are those that left since."""

    known: Annotated[tuple[Known, ...], Meta(max_length=256)]
    gone: Annotated[tuple[PeerName, ...], Meta(max_length=256)] = ()


class Ping(Frame, tag=18):
    """Are you there? Answered by `Pong` with the same id."""

    id: Token


class Pong(Frame, tag=19):
    """Here."""

    id: Token


AnyFrame = (
    Hello
    | Proof
    | Welcome
    | Bye
    | Have
    | Get
    | Part
    | Miss
    | Drop
    | Ack
    | Ask
    | Grant
    | Wait
    | Release
    | Free
    | Quota
    | Peers
    | Ping
    | Pong
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyFrame] = msgspec.msgpack.Decoder(AnyFrame)
_length = struct.Struct(">I")


class FrameError(ValueError):
    """A peer sent what is not a frame. The message holds nothing the peer sent."""


def encode(frame: AnyFrame) -> bytes:
    """The bytes of one frame, length included.

    Raises:
        FrameError: it would be larger than a peer accepts.
    """
    body = _encoder.encode(frame)
    if len(body) > FRAME_MAX:
        raise FrameError(f"a frame of {len(body)} bytes is larger than {FRAME_MAX}")
    return _length.pack(len(body)) + body


def parts(token: int, sealed: bytes) -> Iterator[bytes]:
    """The frames that carry a block; an empty block is one empty part."""
    total = len(sealed)
    view = memoryview(sealed)
    for start in range(0, total or 1, CHUNK):
        yield encode(Part(token, total, view[start : start + CHUNK]))  # type: ignore[arg-type]  # msgspec encodes it as bytes


def announcements(pointers: Iterable[Pointer]) -> Iterator[bytes]:
    """`Have` frames for all that can travel, each as full as the frame bound allows."""
    batch: list[Pointer] = []
    room = FRAME_MAX - 64
    for each in filter(None, map(wire, pointers)):
        size = len(_encoder.encode(each))
        if size > room or len(batch) == HAVE_MAX:
            yield encode(Have(tuple(batch)))
            batch, room = [], FRAME_MAX - 64
        batch.append(each)
        room -= size
    if batch:
        yield encode(Have(tuple(batch)))


class FrameDecoder:
    """Bytes in, frames out; holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[AnyFrame, int]]:
        """All frames that are complete now, each with its size in bytes.

        Raises:
            FrameError: oversized, not msgpack, an unknown frame, or a field out of bounds.
        """
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= _length.size:
                (size,) = _length.unpack_from(self._buffer, start)
                if size > FRAME_MAX:
                    raise FrameError(f"a frame of {size} bytes is larger than {FRAME_MAX}")
                end = start + _length.size + size
                if len(self._buffer) < end:
                    break
                body = bytes(memoryview(self._buffer)[start + _length.size : end])
                start = end
                yield self._decode(body), size
        finally:
            del self._buffer[:start]

    @staticmethod
    def _decode(body: bytes) -> AnyFrame:
        try:
            return _decoder.decode(body)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise FrameError("not a frame of this protocol") from error
