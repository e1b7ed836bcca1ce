"""What the swarm's own thread asks and tells the rest of the node, over the bridge."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol, TypeVar

import trio

from p2pcache.cache.entry import Pointer
from p2pcache.swarm.bridge import Bridge, BridgeClosed
from p2pcache.swarm.config import BlockStore, SwarmEvents

T = TypeVar("T")

_PATIENCE = 2.0


class Outside(Protocol):
    """The node, seen from the swarm's thread. Bounded in time; what fails is as if it were not there."""

    async def sealed(self, cid: bytes) -> bytes | None:
        """A block the node holds."""
        ...

    async def keep(self, pointer: Pointer, sealed: bytes) -> None:
        """Hub only: store this block."""
        ...

    async def snapshot(self, bound: int) -> list[Pointer]:
        """At most `bound` pointers of what the node holds."""
        ...

    async def dropped(self, topics: Collection[bytes], scope: bytes | None, until: float) -> None:
        """Returns when the node has forgotten what was proved `until` then, Unix seconds."""
        ...

    def quota(self, scope: bytes, state: bytes) -> None:
        """A newer bucket state."""
        ...

    def warn(self, message: str) -> None:
        """One sentence for the log."""
        ...

    def changed(self, members: int) -> None:
        """So many members are connected now."""
        ...

    def silence(self) -> float:
        """Seconds for which the node has not done what it was told; asks it for a sign of life."""
        ...


class Across:
    """The `Outside` of a running node.

    Args:
        bridge: to the asyncio side.
        store, events: the node's.
        changed: called there with the number of members.
    """

    def __init__(self, bridge: Bridge, store: BlockStore, events: SwarmEvents, changed: Callable[[int], None]) -> None:
        self._bridge = bridge
        self._store = store
        self._events = events
        self._changed = changed
        self._asked: float | None = None

    async def sealed(self, cid: bytes) -> bytes | None:
        """See `Outside`."""
        return await self._ask(None, self._store.sealed, cid)

    async def keep(self, pointer: Pointer, sealed: bytes) -> None:
        """See `Outside`."""
        await self._ask(None, self._store.keep, pointer, sealed)

    async def snapshot(self, bound: int) -> list[Pointer]:
        """See `Outside`."""

        async def first() -> list[Pointer]:
            return list(itertools.islice(self._store.pointers(), bound))

        return await self._ask([], first)

    async def dropped(self, topics: Collection[bytes], scope: bytes | None, until: float) -> None:
        """See `Outside`."""

        async def forget() -> None:
            self._events.dropped(topics, scope, until)

        await self._ask(None, forget)

    def quota(self, scope: bytes, state: bytes) -> None:
        """See `Outside`."""
        self._tell(self._events.quota, scope, state)

    def warn(self, message: str) -> None:
        """See `Outside`."""
        self._tell(self._events.warn, message)

    def changed(self, members: int) -> None:
        """See `Outside`."""
        self._tell(self._changed, members)

    def silence(self) -> float:
        """See `Outside`."""
        now = trio.current_time()
        if self._asked is None:
            self._asked = now
            self._tell(self._alive)
            return 0.0
        return now - self._asked

    def _alive(self) -> None:
        self._asked = None

    async def _ask(self, otherwise: T, work: Callable[..., Awaitable[T]], *args: object) -> T:
        answer = otherwise
        with trio.move_on_after(_PATIENCE):
            try:
                answer = await self._bridge.ask(work, *args)
            except Exception:  # noqa: BLE001  # fail open: a broken store is an empty one to the peers
                answer = otherwise
        return answer

    def _tell(self, work: Callable[..., object], *args: object) -> None:
        with contextlib.suppress(BridgeClosed):
            self._bridge.tell(work, *args)
