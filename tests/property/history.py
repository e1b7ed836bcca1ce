"""What the model of GitHub remembers, and a disk that outlives its node."""

from __future__ import annotations

import asyncio
import bisect
import dataclasses
import math
from collections.abc import Collection, Sequence

from p2pcache.backends.disk import BACKEND
from p2pcache.cache.answer import Answer
from p2pcache.cache.entry import Pointer


@dataclasses.dataclass(frozen=True)
class Truth:
    status: int
    body: bytes
    link: str | None
    location: str | None


class History:
    """What GitHub would have told one token of one target, and since when."""

    def __init__(self) -> None:
        self.since: list[float] = []
        self.truths: list[Truth] = []

    def note(self, now: float, truth: Truth) -> None:
        if not self.truths or self.truths[-1] != truth:
            self.since.append(now)
            self.truths.append(truth)

    def between(self, first: float, last: float) -> list[Truth]:
        begin = max(0, bisect.bisect_right(self.since, first) - 1)
        return self.truths[begin : bisect.bisect_right(self.since, last)]


class Disk:
    """A tier that outlives its node."""

    backend = BACKEND

    def __init__(self) -> None:
        self.pointers: dict[tuple[bytes, bytes], Pointer] = {}
        self.blocks: dict[bytes, bytes] = {}

    async def find(self, resource: bytes) -> Sequence[Pointer]:
        return [pointer for (name, _), pointer in self.pointers.items() if name == resource]

    async def block(self, pointer: Pointer) -> bytes | None:
        return self.blocks.get(pointer.cid)

    async def store(self, pointer: Pointer, sealed: bytes) -> None:
        self.pointers[pointer.name, pointer.scope] = pointer
        self.blocks[pointer.cid] = sealed

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        kept = self.pointers.items()
        self.pointers = {
            k: p
            for k, p in kept
            if not set(topics) & set(p.topics) or scope not in (None, p.scope) or p.proved_at > until
        }

    async def close(self) -> None:
        pass


@dataclasses.dataclass
class Reading:
    """A read under way; `joined` is when the first of those began that it may share an answer with."""

    target: str
    token: str | None
    at: float
    joined: float
    written: float
    task: asyncio.Task[Answer]
