"""Members in the test's own process that are as honest as the product, for tests in which somebody else is not."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from p2pcache.cache.entry import Pointer
from p2pcache.cache.sealing import Keyring
from p2pcache.swarm import Limits, Swarm, SwarmConfig
from tests.support.processes import running

SECONDS = 20.0
SCOPE, TOPIC = b"s" * 16, b"t" * 16


T = TypeVar("T")


class Honest:
    """A member and the node around it: `BlockStore` and `SwarmEvents` in one."""

    def __init__(self, config: SwarmConfig) -> None:
        self.swarm = Swarm(config, self, self)
        self.blocks: dict[bytes, bytes] = {}
        self.held: list[Pointer] = []
        self.drops: list[tuple[bytes, ...]] = []
        self.quotas: list[bytes] = []
        self.warnings: list[str] = []

    @property
    def address(self) -> str:
        return self.swarm.multiaddrs[0]

    @property
    def peer(self) -> str:
        return self.swarm.peer_id

    def connected(self) -> set[str]:
        return {row.peer_id for row in self.swarm.peers() if row.state in ("hub", "member", "slow") and row.since}

    async def hold(self, size: int = 1000, **changes: object) -> Pointer:
        """Something new that this member announces."""
        sealed = os.urandom(size)
        cid = b"\x01\x55\x12\x20" + hashlib.sha256(sealed).digest()
        now = time.time()
        pointer = Pointer(
            name=os.urandom(32),
            scope=SCOPE,
            cid=cid,
            etag='"e"',
            last_modified=None,
            link=None,
            lifetime="normal",
            proved_at=now,
            expires_at=now + 60,
            cost_ms=80,
            size=size,
            by="",
            topics=(TOPIC,),
        )
        pointer = msgspec.structs.replace(pointer, **changes)
        self.blocks[cid] = sealed
        self.held.append(pointer)
        await self.swarm.tier.store(pointer, sealed)
        return pointer

    async def sealed(self, cid: bytes) -> bytes | None:
        return self.blocks.get(cid)

    async def keep(self, pointer: Pointer, sealed: bytes) -> None:
        self.blocks[pointer.cid] = sealed

    def pointers(self) -> Iterator[Pointer]:
        return iter(self.held)

    def dropped(self, topics: Collection[bytes], scope: bytes | None, until: float) -> None:
        self.drops.append(tuple(topics))

    def quota(self, scope: bytes, state: bytes) -> None:
        self.quotas.append(state)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class Fleet:
    """Honest members of one secret; all are gone at the end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = secrets.token_bytes(32)
        self._members: list[Honest] = []

    async def member(self, *bootstrap: str, hub: bool = False, limits: Limits | None = None, **changes: Any) -> Honest:
        config = SwarmConfig(
            "/ip4/127.0.0.1/tcp/0",
            bootstrap,
            (),
            self.directory / f"member-{len(self._members)}",
            (self.key,),
            hub=hub,
            limits=limits or Limits(),
        )
        made = Honest(replace(config, **changes))
        await made.swarm.start()
        self._members.append(made)
        if bootstrap:
            assert await made.swarm.connected(1, SECONDS)
        return made

    async def close(self) -> None:
        for member in reversed(self._members):
            await member.swarm.stop()


async def until(holds: Callable[[], T], seconds: float = SECONDS) -> T:
    """Wait for something that another thread or process does; its value."""
    async with asyncio.timeout(seconds):
        while not (value := holds()):  # noqa: ASYNC110  # another thread or process: nothing to wait on
            await asyncio.sleep(0.01)
        return value


async def found(member: Honest, name: bytes) -> list[Pointer]:
    """What a member knows of a resource, as soon as it knows of it."""
    async with asyncio.timeout(SECONDS):
        while not (pointers := await member.swarm.tier.find(name)):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
        return list(pointers)


@contextlib.contextmanager
def hub_process(home: Path, secret: str) -> Iterator[dict[str, Any]]:
    """`p2pcache serve --hub` as users start it; what its ready file says once the swarm listens, and its log."""
    flags = ("serve", "--hub", "--listen", "127.0.0.1:0", "--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--dir", str(home))
    with running("p2pcache", *flags, home=home, CACHE_SECRET=secret, CACHE_UPSTREAM="http://127.0.0.1:1") as ready:
        yield ready


def membership_key(secret: str) -> bytes:
    """What members prove."""
    return Keyring.from_secrets([secret]).membership_keys[0]
