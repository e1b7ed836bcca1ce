"""Who of this node's callers asks GitHub for a resource; whoever wants it too waits for what comes of it.

Callers with the same credential share one flight. These here do not: a token of another scope cannot be given the
answer, but once it is there can prove it for nothing, instead of paying for it at the same moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Turns by resource name, within one event loop; `patience` is how many seconds one waits for another's."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._taken: dict[bytes, asyncio.Event] = {}

    async def wait(self, name: bytes) -> bool:
        """Wait while somebody is at it, within patience; whether anybody was."""
        over = self._taken.get(name)
        if over is None:
            return False
        try:
            async with asyncio.timeout(self._patience):
                await over.wait()
        except TimeoutError:
            return True
        return True

    @contextmanager
    def take(self, name: bytes) -> Iterator[None]:
        """Be at it, alone or beside others who waited long enough."""
        if name in self._taken:
            yield
            return
        over = self._taken[name] = asyncio.Event()
        try:
            yield
        finally:
            del self._taken[name]
            over.set()
