"""What waits to be written to one peer: bounded, control frames before blocks. Pure."""

from __future__ import annotations

from collections import deque

from p2pcache.swarm.protocol.frames import FRAME_MAX

BULK = 4
"""Places of `put_bulk`."""


class Outbox:
    """Encoded frames for one writer.

    Args:
        bound: bytes of control frames that may wait.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._frames: deque[bytes] = deque()
        self._bulk: deque[bytes] = deque()
        self._waiting = 0

    def put(self, frame: bytes, share: float = 1.0) -> bool:
        """Add a control frame; False when so little was read lately that this share of the bound is reached."""
        if self._waiting + len(frame) > share * self._bound:
            return False
        self._frames.append(frame)
        self._waiting += len(frame)
        return True

    def put_bulk(self, frame: bytes) -> None:
        """Add one frame of many. The caller sees to it that at most `BULK` wait."""
        self._bulk.append(frame)

    def take(self) -> tuple[bytes, bool]:
        """Return what to write next, and whether that frees a place of `put_bulk`.

        Small control frames are joined (few large writes are cheaper). b"": nothing waits.
        """
        if not self._frames:
            return (self._bulk.popleft(), True) if self._bulk else (b"", False)
        size = 0
        batch: list[bytes] = []
        while self._frames and (not batch or size + len(self._frames[0]) <= FRAME_MAX):
            batch.append(self._frames.popleft())
            size += len(batch[-1])
        self._waiting -= size
        return (batch[0] if len(batch) == 1 else b"".join(batch)), False
