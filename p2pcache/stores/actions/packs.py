"""Packs: entries as the bytes of one Actions cache entry, sealed whole and bound to their key."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from p2pcache.cache.codec import cid_of
from p2pcache.cache.entry import Pointer
from p2pcache.cache.sealing import Keyring, SealedKind, SealError

MAX_PACK = 4 << 20
"""Bytes of a sealed pack."""
MAX_ENTRIES = 8192
"""The most pointers, and the most blocks, of a pack."""
MAX_KEY = 512
"""Characters of a key (the service's own bound)."""
ROOM = MAX_PACK - (4 << 10)
"""Bytes for the entries of a pack; the rest is for what is around them."""

Key = Annotated[str, Meta(min_length=1, max_length=MAX_KEY, pattern=r"\A[0-9a-z/-]*\Z")]
Author = Annotated[bytes, Meta(min_length=8, max_length=8)]
# MessagePack's largest prefix of bytes.
_PREFIX = 5

_MALFORMED = (SealError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class PackedEntry(NamedTuple):
    """A pointer and its sealed block."""

    pointer: Pointer
    sealed: bytes


class Pack(NamedTuple):
    """What is kept under one key.

    Attributes:
        base: the key of the pack that this one adds to; None for a base.
        author: random, of the node that wrote it.
        entries: of any resource and scope; each block does match its CID.
    """

    base: str | None
    author: bytes
    entries: tuple[PackedEntry, ...]


class _Encoded(msgspec.Struct, frozen=True, array_like=True):
    """A pack as bytes: a block is there once, however many pointers name it. New fields go to the end."""

    base: Key | None
    author: Author
    pointers: Annotated[tuple[Pointer, ...], Meta(max_length=MAX_ENTRIES)]
    blocks: Annotated[tuple[bytes, ...], Meta(max_length=MAX_ENTRIES)]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Encoded)


def packed_size(entry: PackedEntry) -> int:
    """Return the bytes that an entry takes in a pack, at most."""
    return len(_encoder.encode(entry.pointer)) + len(entry.sealed) + _PREFIX


def seal_pack(keyring: Keyring, key: str, pack: Pack) -> bytes:
    """Return the bytes of a pack; they open under this key alone."""
    pointers = tuple(entry.pointer for entry in pack.entries)
    blocks = {entry.pointer.cid: entry.sealed for entry in pack.entries}
    encoded = _encoder.encode(_Encoded(pack.base, pack.author, pointers, tuple(blocks.values())))
    return keyring.seal(encoded, SealedKind.PACK, key.encode())


def open_pack(keyring: Keyring, key: str, sealed: bytes) -> Pack | None:
    """Return the pack in bytes of any origin; None where they are another fleet's, damaged, moved or out of bounds.

    A pointer whose block is not there is left out.
    """
    if len(sealed) > MAX_PACK:
        return None
    try:
        encoded = _decoder.decode(keyring.open(sealed, SealedKind.PACK, key.encode()))
    except _MALFORMED:
        return None
    blocks = {cid_of(block): block for block in encoded.blocks}
    entries = (PackedEntry(pointer, blocks[pointer.cid]) for pointer in encoded.pointers if pointer.cid in blocks)
    return Pack(encoded.base, encoded.author, tuple(entries))
