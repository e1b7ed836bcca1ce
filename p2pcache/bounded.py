"""A map with a bound on its entries, and bytes with a bound on their number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Bounded(OrderedDict[K, V]):
    """A map of at most `most` entries; the one that was set the longest ago gives way."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def put(self, key: K, value: V) -> tuple[K, V] | None:
        """Set `key` as the newest entry; return the one that gave way, if any."""
        super().__setitem__(key, value)
        self.move_to_end(key)
        return self.popitem(last=False) if len(self) > self.most else None

    def __setitem__(self, key: K, value: V) -> None:
        self.put(key, value)


async def gathered(pieces: AsyncIterable[bytes], most: int) -> bytes:
    """Return pieces as one, up to `most` bytes; one byte more where there are more, of which no other is read."""
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > most:
            break
    return bytes(body[: most + 1])
