"""Cursors: where an answer goes on. They hold all that is known, so that any node can continue what another began."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from typing import Any

import msgspec

MAX_CURSOR = 96
"""Characters."""
MOST = 1 << 40
"""The largest number in a cursor."""
_DIGEST_BYTES = 9


class CursorError(ValueError):
    """A cursor that does not continue this call; the message is one sentence."""


def bound_to(tool: str, arguments: Any) -> bytes:
    """Return the digest of a call without its cursor, which its cursors carry.

    It is no secret and needs none: a cursor only chooses a part of what the caller may read anyway.
    """
    encoded = msgspec.json.encode([tool, arguments], order="sorted")
    return hashlib.sha256(encoded).digest()[:_DIGEST_BYTES]


def of_content(content: bytes) -> int:
    """Return a checksum of what an offset is about."""
    return zlib.crc32(content)


def encode(bound: bytes, *numbers: int) -> str:
    """Return a cursor with these numbers, for the call of this digest."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode([bound, *numbers])).decode().rstrip("=")


def decode(cursor: str, bound: bytes, count: int) -> list[int]:
    """Return the numbers of a cursor, `count` of them, none negative.

    Raises:
        CursorError: it is no cursor, or of another call.
    """
    kind = tuple[bytes, *(int,) * count]  # type: ignore[misc, valid-type]  # of that many
    try:
        padded = cursor[: MAX_CURSOR + 1].encode("ascii") + b"=" * (-len(cursor) % 4)
        digest, *numbers = msgspec.msgpack.decode(base64.b64decode(padded, b"-_", validate=True), type=kind)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise CursorError("that is no cursor of this server: leave it out to begin again") from None
    if digest != bound:
        raise CursorError("that cursor continues another call: repeat the arguments it came with, or leave it out")
    if not all(0 <= number < MOST for number in numbers):
        raise CursorError("that is no cursor of this server: leave it out to begin again")
    return [*numbers]
