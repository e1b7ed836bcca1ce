"""The rest of this node as the swarm's own thread sees it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from p2pcache.cache.entry import Pointer


class LocalNode(Protocol):
    """The node's store and events. Bounded in time; what fails is as if it were not there."""

    async def sealed(self, cid: bytes) -> bytes | None:
        """Return a block the node holds."""
        ...

    async def keep(self, pointer: Pointer, sealed: bytes) -> None:
        """Hub only: store this block."""
        ...

    async def snapshot(self, bound: int) -> list[Pointer]:
        """Return at most `bound` pointers of what the node holds."""
        ...

    async def dropped(self, topics: Collection[bytes], scope: bytes | None, until: float) -> None:
        """Return when the node has forgotten what was proved `until` then, Unix seconds."""
        ...

    def quota(self, scope: bytes, state: bytes) -> None:
        """Take a newer bucket state."""
        ...

    def warn(self, message: str) -> None:
        """Log one sentence."""
        ...

    def changed(self, members: int) -> None:
        """Take the number of members that are connected now."""
        ...

    def silence(self) -> float:
        """Return for how many seconds the node has not answered, and ask it for a sign of life."""
        ...
