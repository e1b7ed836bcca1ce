"""`services.local_node` over the bridge."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

import trio

from p2pcache.cache.entry import Pointer
from p2pcache.swarm.bridge import Bridge, BridgeClosed
from p2pcache.swarm.rules.config import BlockStore, SwarmEvents

T = TypeVar("T")

_PATIENCE = 2.0


class BridgedNode:
    """The `LocalNode` of a running node.

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
        """See `LocalNode`."""
        return await self._ask(None, self._store.sealed, cid)

    async def keep(self, pointer: Pointer, sealed: bytes) -> None:
        """See `LocalNode`."""
        await self._ask(None, self._store.keep, pointer, sealed)

    async def snapshot(self, bound: int) -> list[Pointer]:
        """See `LocalNode`."""

        async def first() -> list[Pointer]:
            return list(itertools.islice(self._store.pointers(), bound))

        return await self._ask([], first)

    async def dropped(self, topics: Collection[bytes], scope: bytes | None, until: float) -> None:
        """See `LocalNode`."""

        async def forget() -> None:
            self._events.dropped(topics, scope, until)

        await self._ask(None, forget)

    def quota(self, scope: bytes, state: bytes) -> None:
        """See `LocalNode`."""
        self._post(self._events.quota, scope, state)

    def warn(self, message: str) -> None:
        """See `LocalNode`."""
        self._post(self._events.warn, message)

    def changed(self, members: int) -> None:
        """See `LocalNode`."""
        self._post(self._changed, members)

    def silence(self) -> float:
        """See `LocalNode`."""
        now = trio.current_time()
        if self._asked is None:
            self._asked = now
            self._post(self._alive)
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

    def _post(self, work: Callable[..., object], *args: object) -> None:
        with contextlib.suppress(BridgeClosed):
            self._bridge.post_back(work, *args)
