"""Blocks and pointers as bytes: MessagePack, validated and bounded, since they come from disks and peers.

A block is compressed before it is sealed, since sealed bytes do not compress: GitHub's JSON shrinks to a seventh at
zlib's lowest level, which takes 0.2 ms for 50 KB, less than it saves in hashing, sealing and sending.
The price: another zlib (zlib-ng, say) may compress equal answers to other bytes. They are two blocks then instead of
one, each valid everywhere; a pointer names the very block that its maker sealed.
"""

from __future__ import annotations

import hashlib
import re
import zlib

import msgspec

from p2pcache.cache.entry import CID_PREFIX, Block, Pointer
from p2pcache.cache.sealing import Keyring, SealedKind, SealError
from p2pcache.github.headers import KEPT

MAX_BLOCK = 16 * 1024 * 1024
"""The largest block that is kept or accepted, in bytes before compression."""
MAX_POINTER = 16 * 1024
"""The largest encoded pointer, in bytes."""

_PLAIN = b"\x00"
_DEFLATED = b"\x01"
_RAW_DEFLATE = -15
_FASTEST = 1
_WORTH_TRYING = 512

_STATUSES = frozenset({200, 301})
# RFC 9110 section 5.5: a value that cannot end the line it is written to, of single bytes.
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

# Beside its own error, msgspec raises the other two: for text that is not UTF-8, and for unbounded nesting.
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_encoder = msgspec.msgpack.Encoder()
_block_decoder = msgspec.msgpack.Decoder(Block)
_pointer_decoder = msgspec.msgpack.Decoder(Pointer)


class BlockError(ValueError):
    """Bytes that are no block, or not the block that was requested; the message is the reason."""


class PointerError(ValueError):
    """Bytes that are no pointer, or a pointer out of bounds; the message is the reason."""


def encode_block(block: Block) -> bytes:
    """Encode a block: one byte for whether the rest is compressed, then the block.

    Raises:
        BlockError: the block is larger than `MAX_BLOCK`.
    """
    plain = _encoder.encode(block)
    if len(plain) > MAX_BLOCK:
        raise BlockError(f"a block of {len(plain)} bytes is larger than the bound of {MAX_BLOCK}")
    if len(plain) >= _WORTH_TRYING:
        deflated = zlib.compress(plain, _FASTEST, _RAW_DEFLATE)
        if len(deflated) < len(plain) * 7 // 8:
            return _DEFLATED + deflated
    return _PLAIN + plain


def decode_block(data: bytes) -> Block:
    """Decode the bytes of `encode_block`.

    Raises:
        BlockError: malformed, out of bounds, or an answer that is never kept.
    """
    try:
        block = _block_decoder.decode(_inflate(data))
    except _MALFORMED as error:
        raise BlockError(f"malformed block: {error}") from None
    if block.status not in _STATUSES:
        raise BlockError(f"answers with status {block.status} are never kept")
    for name, value in block.headers:
        # A redirect that GitHub did not make must not lead a caller, and its token, anywhere.
        known = name in KEPT and (name != "location" or block.status == 301)
        if not (known and _HEADER_VALUE.fullmatch(value)):
            raise BlockError("a block has a header that is never kept, or one that is malformed")
    return block


def _inflate(data: bytes) -> bytes:
    if data.startswith(_DEFLATED):
        inflater = zlib.decompressobj(_RAW_DEFLATE)
        try:
            plain = inflater.decompress(memoryview(data)[1:], MAX_BLOCK + 1)
        except zlib.error as error:
            raise BlockError(f"malformed block: {error}") from None
        if len(plain) <= MAX_BLOCK and not inflater.eof:
            raise BlockError("malformed block: the compressed data ends too early")
    elif data.startswith(_PLAIN):
        plain = data[1:]
    else:
        raise BlockError("malformed block: unknown compression")
    if len(plain) > MAX_BLOCK:
        raise BlockError(f"the block is larger than the bound of {MAX_BLOCK} bytes")
    return plain


def cid_of(sealed: bytes) -> bytes:
    """Return the CID of a sealed block: version 1, raw, sha2-256; 36 bytes."""
    return CID_PREFIX + hashlib.sha256(sealed).digest()


def cid_text(cid: bytes) -> str:
    """Return the CID in its text form: base32, ``bafkrei...``."""
    from multiformats import CID

    return CID.decode(cid).encode("base32")


def seal_block(keyring: Keyring, block: Block) -> tuple[bytes, bytes]:
    """Return the CID and the sealed bytes of a block.

    Raises:
        BlockError: the block is larger than `MAX_BLOCK`.
    """
    sealed = keyring.seal(encode_block(block), SealedKind.BLOCK)
    return cid_of(sealed), sealed


def open_block(keyring: Keyring, cid: bytes, sealed: bytes) -> Block:
    """Verify sealed bytes of any origin against `cid`, and return the block in them.

    Raises:
        BlockError: other bytes, another swarm's, or malformed.
    """
    if cid_of(sealed) != cid:
        raise BlockError("the bytes do not match their CID")
    try:
        return decode_block(keyring.open(sealed, SealedKind.BLOCK))
    except SealError as error:
        raise BlockError(str(error)) from None


def encode_pointer(pointer: Pointer) -> bytes:
    """Encode a pointer for a store.

    Raises:
        PointerError: larger than `MAX_POINTER`, or a field is out of its bounds: it could not be decoded again.
    """
    data = _encoder.encode(pointer)
    decode_pointer(data)
    return data


def decode_pointer(data: bytes) -> Pointer:
    """Decode a pointer from a store.

    Raises:
        PointerError: malformed, or a field is out of its bounds, which are those of `Pointer`.
    """
    if len(data) > MAX_POINTER:
        raise PointerError(f"a pointer of {len(data)} bytes is larger than the bound of {MAX_POINTER}")
    try:
        return _pointer_decoder.decode(data)
    except _MALFORMED as error:
        raise PointerError(f"malformed pointer: {error}") from None
