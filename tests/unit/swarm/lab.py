"""What several test files of the swarm need around `conftest`."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import trio

from p2pcache.swarm import Swarm
from p2pcache.swarm.protocol.frames import Ping, Pong, Queued
from p2pcache.swarm.rules import statements

SCOPE, OTHER, TOPIC = b"s" * 16, b"o" * 16, b"t" * 16


def rows(node):
    return {row.peer_id: row for row in node.mesh.members.rows(node.directory.announced)}


async def pongs(guest):
    """Stay alive."""
    while True:
        await guest.say(Pong((await guest.hear(Ping)).id))


def said(token, asker):
    """An arbiter's word that it asks itself, with nothing to show."""
    return Queued(token, asker.me.peer, 0.0, bytes(64))


class GitHub:
    """Counts calls; `ask` is what the cache does around a lease."""

    def __init__(self, latency: float = 0.1) -> None:
        self.calls = 0
        self.latency = latency
        self.answered = 0

    async def ask(self, node, name, pointer, scope=SCOPE, keep=True):
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


async def burst(world, nodes, github, pointer, names=1, **how):
    async with trio.open_nursery() as nursery:
        for name in [os.urandom(32) for _ in range(names)]:
            for node in nodes:
                nursery.start_soon(lambda node=node, name=name: github.ask(node, name, pointer, **how))


def fleet(world, size, **changes):
    return [world.node(0, hub=True, **changes), *(world.node(n, 0, **changes) for n in range(1, size))]


def shown(token, resource, arbiter, holder, ago=0.0):
    """An arbiter's word, with the signature of who asks."""
    at = time.time() - ago
    return Queued(token, holder.peer, at, holder.sign(statements.ask(resource, at, arbiter)))


class Node:
    """Store and events in one."""

    def __init__(self) -> None:
        self.blocks = {}
        self.held = []
        self.drops, self.quotas, self.warnings = [], [], []
        self.broken = False

    async def sealed(self, cid):
        if self.broken:
            raise OSError
        return self.blocks.get(cid)

    async def keep(self, pointer, sealed):
        self.blocks[pointer.cid] = sealed

    def pointers(self):
        return iter(self.held)

    def dropped(self, topics, scope, until):
        self.drops.append((tuple(topics), scope))

    def quota(self, scope, state):
        self.quotas.append((scope, state))

    def warn(self, message):
        self.warnings.append(message)


@asynccontextmanager
async def running(*configs):
    """Nodes with their swarms; each dials the first."""
    nodes, swarms = [], []
    try:
        for each in configs:
            node = Node()
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


async def until(condition):
    async with asyncio.timeout(10):
        while not (value := await condition()):  # noqa: ASYNC110  # another thread or process: nothing to wait on
            await asyncio.sleep(0.002)
        return value
