"""What goes over the wire between two members: length-prefixed msgpack, one struct a frame.

A frame is a 4-byte big-endian length and that many bytes of msgpack: an array whose first element is the tag of the
frame. Everything a peer sends is decoded against these types, so a wrong shape, size or version never gets
further than `FrameDecoder`. A new `MINOR` adds fields at the end (an older node ignores them) and frames of higher
tags, each with the `since` that introduced it: it is not sent to a peer of a lower minor version, and what a peer of a
higher one sends under an unknown tag is skipped. Anything else is a new `MAJOR`, which older nodes refuse by name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, get_args

import msgspec
from msgspec import Meta

from p2pcache.cache.entry import Cid, Digest, Pointer, Short, Size, Unix
from p2pcache.cache.sealing import MOST_SECRETS, JobKeys
from p2pcache.github.id_token import TOKEN_CHARACTERS
from p2pcache.swarm.rules.address_book import Addresses, Known, PeerName

MAJOR = 2
MINOR = 1
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
Holder = Annotated[str, Meta(max_length=64)]
"""A peer id or "", from an arbiter and to the next one: what is accepted can be sent on."""


def received(pointer: Pointer, skew: float, now: float) -> Pointer:
    """Return a member's pointer by this node's clock; nothing was proved in the future.

    Args:
        pointer: as it was sent.
        skew: the sender's clock minus this node's, in seconds.
        now: Unix seconds.
    """
    proved = max(0.0, min(pointer.proved_at - skew, now))
    expires = max(0.0, proved + (pointer.expires_at - pointer.proved_at))
    return msgspec.structs.replace(pointer, proved_at=proved, expires_at=expires)


def wire(pointer: Pointer | None) -> Pointer | None:
    """Return a pointer that can be sent, or None for one that peers would refuse: beyond the bounds of its fields."""
    try:
        return None if pointer is None else msgspec.convert(msgspec.structs.astuple(pointer), Pointer)
    except msgspec.ValidationError:
        return None


class Frame(msgspec.Struct, array_like=True):
    """Base of all frames. `since` is the minor version that introduced one."""

    since: ClassVar[int] = 0


class Hello(Frame, tag=1):
    """First frame of both sides. Holds nothing about the node that a stranger may not know."""

    magic: Annotated[str, Meta(max_length=16)]
    major: Annotated[int, Meta(ge=0, le=2**16)]
    minor: Annotated[int, Meta(ge=0, le=2**16)]
    nonce: Digest
    clock: Unix


class Proof(Frame, tag=2):
    """Second frame of both sides: see `membership_proof`."""

    mac: Digest


class Welcome(Frame, tag=3):
    """Third: the other side's proof was accepted. `addresses` are where this member can be dialled."""

    hub: bool
    addresses: Addresses


class Bye(Frame, tag=4):
    """Last frame of a session: a `reasons.Reason`."""

    reason: Annotated[int, Meta(ge=0, le=255)]


class Have(Frame, tag=5):
    """The sender can deliver these blocks (a hub: by asking the member that announced them)."""

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
    signed it, so that no other can take its name; `age` is how many seconds ago it happened, so that what was proved
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
    """The invalidation with this id is done."""

    id: Token


class Acquire(Frame, tag=11):
    """LEASE: may I ask GitHub for `resource` on behalf of all? Answered by `Grant` or `Queued`, later `Free`.

    `at`, by the sender's clock, and `signature` show members that are to wait that another really asks; `exclude`:
    peers whose blocks could not be had.
    """

    id: Token
    resource: Digest
    scope: Short
    at: Unix
    signature: Signature
    exclude: Annotated[tuple[Holder, ...], Meta(max_length=8)] = ()


class Grant(Frame, tag=12):
    """Yes, ask. Ends with `Release`. `pointer`: what `holder`, of another scope, has just released."""

    id: Token
    pointer: Pointer | None
    holder: Holder


class Queued(Frame, tag=13):
    """`holder` is asking, as its `at` and `signature` show: `Grant` or `Free` follows."""

    id: Token
    holder: PeerName
    at: Unix
    signature: Signature


class Release(Frame, tag=14):
    """The holder or waiter is done; `pointer` is what the others may now find.

    `undone`: the holder has not asked and will not; the next waiter is to take its place.
    """

    id: Token
    pointer: Pointer | None
    undone: bool = False


class Free(Frame, tag=15):
    """The holder is done; `pointer` is what it released."""

    id: Token
    pointer: Pointer | None
    holder: Holder


class Quota(Frame, tag=16):
    """The rate limit bucket of a scope as a member saw it at `at` (sender's clock)."""

    scope: Short
    at: Unix
    state: Annotated[bytes, Meta(max_length=1_024)]


class Peers(Frame, tag=17):
    """Members the sender is connected to. `gone`: those that are no longer."""

    known: Annotated[tuple[Known, ...], Meta(max_length=256)]
    gone: Annotated[tuple[PeerName, ...], Meta(max_length=256)] = ()


class Ping(Frame, tag=18):
    """Are you there? Answered by `Pong` with the same id."""

    id: Token


class Pong(Frame, tag=19):
    """Here."""

    id: Token


class Enrol(Frame, tag=20):
    """After `Hello`, of the side that dialled: admit this job by its OIDC token. Answered by `Granted`, or `Bye`."""

    since: ClassVar[int] = 1
    token: Annotated[str, Meta(max_length=TOKEN_CHARACTERS)]


class Granted(Frame, tag=21):
    """The token was accepted. The first keys are of the hub's newest secret; the proofs that follow are under one."""

    since: ClassVar[int] = 1
    keys: Annotated[tuple[JobKeys, ...], Meta(min_length=1, max_length=MOST_SECRETS)]


Introduction = Hello | Proof | Welcome | Enrol | Granted
"""Of the handshake alone."""
Answer = Part | Miss | Ack | Pong
"""To a request of this side."""
Message = Have | Get | Drop | Acquire | Release | Grant | Queued | Free | Quota | Peers
"""For the node."""
AnyFrame = Introduction | Answer | Message | Ping | Bye


class NewerFrame(msgspec.Struct, frozen=True):
    """A frame that a newer minor version defines: nothing of it but its tag is known."""

    tag: int


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyFrame] = msgspec.msgpack.Decoder(AnyFrame)
_outline: msgspec.msgpack.Decoder[list[msgspec.Raw]] = msgspec.msgpack.Decoder(list[msgspec.Raw])
_length = struct.Struct(">I")
_LAST_TAG = max(kind.__struct_config__.tag for kind in get_args(AnyFrame))


class FrameError(ValueError):
    """A peer sent what is not a frame. The message holds nothing of what it sent."""


def encode(frame: AnyFrame) -> bytes:
    """Return the bytes of one frame, length included.

    Raises:
        FrameError: it would be larger than a peer accepts.
    """
    body = _encoder.encode(frame)
    if len(body) > FRAME_MAX:
        raise FrameError(f"a frame of {len(body)} bytes is larger than {FRAME_MAX}")
    return _length.pack(len(body)) + body


def parts(token: int, sealed: bytes) -> Iterator[Part]:
    """Cut a block into frames; an empty block is one empty part."""
    total = len(sealed)
    view = memoryview(sealed)
    for start in range(0, total or 1, CHUNK):
        yield Part(token, total, view[start : start + CHUNK])  # type: ignore[arg-type]  # msgspec encodes it as bytes


def announcements(pointers: Iterable[Pointer]) -> Iterator[Have]:
    """Group all that can travel, each frame as full as the frame bound allows."""
    batch: list[Pointer] = []
    room = FRAME_MAX - 64
    for each in filter(None, map(wire, pointers)):
        size = len(_encoder.encode(each))
        if size > room or len(batch) == HAVE_MAX:
            yield Have(tuple(batch))
            batch, room = [], FRAME_MAX - 64
        batch.append(each)
        room -= size
    if batch:
        yield Have(tuple(batch))


class FrameDecoder:
    """Bytes in, frames out; holds at most one unfinished frame and what was not asked for yet.

    `minor` is the version of the other side: once it is newer than this one, unknown tags are no error.
    """

    def __init__(self) -> None:
        self.minor = MINOR
        self._buffer = bytearray()

    def add(self, data: bytes) -> None:
        """Append what arrived."""
        self._buffer += data

    def next(self) -> tuple[AnyFrame | NewerFrame, int] | None:
        """Return the next frame and its size in bytes; None until it is complete.

        Raises:
            FrameError: oversized, not msgpack, an unknown frame, or a field out of bounds.
        """
        if len(self._buffer) < _length.size:
            return None
        (size,) = _length.unpack_from(self._buffer)
        if size > FRAME_MAX:
            raise FrameError(f"a frame of {size} bytes is larger than {FRAME_MAX}")
        end = _length.size + size
        if len(self._buffer) < end:
            return None
        body = bytes(memoryview(self._buffer)[_length.size : end])
        del self._buffer[:end]
        return self._decode(body), size

    def feed(self, data: bytes) -> Iterator[tuple[AnyFrame | NewerFrame, int]]:
        """Append what arrived, and give the frames that are complete now."""
        self.add(data)
        while (found := self.next()) is not None:
            yield found

    def _decode(self, body: bytes) -> AnyFrame | NewerFrame:
        try:
            return _decoder.decode(body)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            if self.minor > MINOR and (tag := _tag(body)) > _LAST_TAG:
                return NewerFrame(tag)
            raise FrameError("not a frame of this protocol") from error


def _tag(body: bytes) -> int:
    """Return the tag of a frame whose other fields mean nothing here; -1 for what is no frame of any version."""
    try:
        return msgspec.msgpack.decode(_outline.decode(body)[0], type=int)
    except (msgspec.DecodeError, RecursionError, ValueError, IndexError):
        return -1
