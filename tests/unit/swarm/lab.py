"""What several test files of the swarm need around `conftest`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import trio

from p2pcache.cache.entry import Pointer
from p2pcache.swarm import Limits, PeerRow, Swarm, SwarmConfig
from p2pcache.swarm.protocol.frames import Have, Ping, Pong, Queued, wire
from p2pcache.swarm.rules import statements
from p2pcache.swarm.rules.identity import Identity
from tests.unit.swarm.conftest import Guest, Node, Pointers, World

T = TypeVar("T")

SCOPE, OTHER, TOPIC = b"s" * 16, b"o" * 16, b"t" * 16


def have(*pointers: Pointer) -> Have:
    """An announcement of pointers that peers take."""
    sent = tuple(filter(None, map(wire, pointers)))
    assert len(sent) == len(pointers)
    return Have(sent)


def rows(node: Node) -> dict[str, PeerRow]:
    return {row.peer_id: row for row in node.mesh.members.rows(node.directory.announced)}


async def pongs(guest: Guest) -> None:
    """Stay alive."""
    while True:
        await guest.say(Pong((await guest.hear(Ping)).id))


def said(token: int, asker: Guest) -> Queued:
    """An arbiter's word that it asks itself, with nothing to show."""
    return Queued(token, asker.me.peer, 0.0, bytes(64))


class GitHub:
    """Counts calls; `ask` is what the cache does around a lease."""

    def __init__(self, latency: float = 0.1) -> None:
        self.calls = 0
        self.latency = latency
        self.answered = 0

    async def ask(self, node: Node, name: bytes, pointer: Pointers, scope: bytes = SCOPE, keep: bool = True) -> None:
        token = await node.mesh.leases.acquire(name, scope)
        left = None
        try:
            if not node.directory.find(name):
                self.calls += 1
                await trio.sleep(self.latency)
                left = pointer(name=name, scope=scope) if keep else None
        finally:
            if token is not None:
                node.mesh.leases.release(token, left)
        self.answered += 1


async def burst(world: World, nodes: list[Node], github: GitHub, pointer: Pointers, names: int = 1, **how: Any) -> None:
    async with trio.open_nursery() as nursery:
        for name in [os.urandom(32) for _ in range(names)]:
            for node in nodes:
                nursery.start_soon(lambda node=node, name=name: github.ask(node, name, pointer, **how))


def fleet(world: World, size: int, **changes: Limits) -> list[Node]:
    return [world.node(0, hub=True, **changes), *(world.node(n, 0, **changes) for n in range(1, size))]


def shown(token: int, resource: bytes, arbiter: str, holder: Identity, ago: float = 0.0) -> Queued:
    """An arbiter's word, with the signature of who asks."""
    at = time.time() - ago
    return Queued(token, holder.peer, at, holder.sign(statements.ask(resource, at, arbiter)))


class Store:
    """Store and events in one."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}
        self.held: list[Pointer] = []
        self.drops: list[tuple[tuple[bytes, ...], bytes | None]] = []
        self.quotas: list[tuple[bytes, bytes]] = []
        self.warnings: list[str] = []
        self.broken = False

    async def sealed(self, cid: bytes) -> bytes | None:
        if self.broken:
            raise OSError
        return self.blocks.get(cid)

    async def keep(self, pointer: Pointer, sealed: bytes) -> None:
        self.blocks[pointer.cid] = sealed

    def pointers(self) -> Iterator[Pointer]:
        return iter(self.held)

    def dropped(self, topics: Collection[bytes], scope: bytes | None, until: float) -> None:
        self.drops.append((tuple(topics), scope))

    def quota(self, scope: bytes, state: bytes) -> None:
        self.quotas.append((scope, state))

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@asynccontextmanager
async def running(*configs: SwarmConfig) -> AsyncIterator[list[tuple[Store, Swarm]]]:
    """Nodes with their swarms; each dials the first."""
    nodes: list[Store] = []
    swarms: list[Swarm] = []
    try:
        for each in configs:
            node = Store()
            bootstrap = each.bootstrap or (swarms[0].multiaddrs if swarms else ())
            made = Swarm(replace(each, bootstrap=tuple(bootstrap)), node, node)
            await made.start()
            nodes.append(node)
            swarms.append(made)
        for made in swarms if len(swarms) > 1 else ():
            assert await made.connected(1, 5)
        yield list(zip(nodes, swarms, strict=True))
    finally:
        for made in reversed(swarms):
            await made.stop()


async def until(condition: Callable[..., Awaitable[T]]) -> T:
    async with asyncio.timeout(10):
        while not (value := await condition()):  # noqa: ASYNC110  # another thread or process: nothing to wait on
            await asyncio.sleep(0.002)
        return value
