"""What waits to be written to one peer: bounded, control frames before blocks."""

from __future__ import annotations

from collections import deque

import trio

from p2pcache.swarm.frames import FRAME_MAX

_BULK = 4


class Outbox:
    """Frames for one writer.

    Args:
        bound: bytes of control frames that may wait; blocks wait in their own few places, with back-pressure.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._frames: deque[bytes] = deque()
        self._bulk: deque[bytes] = deque()
        self._places = trio.Semaphore(_BULK)
        self._ready = trio.Event()
        self._waiting = 0

    def put(self, frame: bytes, share: float = 1.0) -> bool:
        """Add a control frame; False when the peer has not read for so long that this share of the bound is reached."""
        if self._waiting + len(frame) > share * self._bound:
            return False
        self._frames.append(frame)
        self._waiting += len(frame)
        self._ready.set()
        return True

    async def put_bulk(self, frame: bytes) -> None:
        """Add a part of a block as soon as there is a place."""
        await self._places.acquire()
        self._bulk.append(frame)
        self._ready.set()

    async def take(self) -> bytes:
        """What to write next: small control frames joined (few large writes are cheaper), or one part of a block."""
        while not (self._frames or self._bulk):
            self._ready = trio.Event()
            await self._ready.wait()
        if not self._frames:
            self._places.release()
            return self._bulk.popleft()
        size = 0
        batch: list[bytes] = []
        while self._frames and (not batch or size + len(self._frames[0]) <= FRAME_MAX):
            batch.append(self._frames.popleft())
            size += len(batch[-1])
        self._waiting -= size
        return batch[0] if len(batch) == 1 else b"".join(batch)
