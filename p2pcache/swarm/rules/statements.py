"""What members sign: written by one, carried by others, believed only as its author's. Pure.

Each begins with what kind of statement it is, so that none can pass for another; all other fields but the last have a
fixed length.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

_DROP = b"p2pcache drop 2\0"
_ASK = b"p2pcache ask 2\0"


def drop(serial: int, topics: Collection[bytes], scope: bytes | None) -> bytes:
    """Return the statement that its author invalidates these."""
    return _DROP + struct.pack(">Q?", serial, scope is not None) + (scope or b"") + b"".join(topics)


def ask(resource: bytes, at: float, arbiter: str) -> bytes:
    """Return the statement that its author asks `arbiter` for a lease of this, at a time of its own clock."""
    return _ASK + resource + struct.pack(">d", at) + arbiter.encode()
