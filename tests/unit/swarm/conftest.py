"""A swarm over links in memory, with a clock that jumps over waits and peers that misbehave on purpose."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from p2pcache.addresses import parse
from p2pcache.cache.entry import Pointer
from p2pcache.swarm import Limits, SwarmConfig
from p2pcache.swarm.protocol import membership_proof as proof
from p2pcache.swarm.protocol.frames import MAGIC, MAJOR, MINOR, Acquire, AnyFrame, Drop, Hello, Proof, Welcome, encode
from p2pcache.swarm.rules import identity, statements
from p2pcache.swarm.rules.directory import Directory
from p2pcache.swarm.services.introduction import Incoming
from p2pcache.swarm.services.mesh import Mesh
from p2pcache.swarm.services.session import Session
from tests.support.memory_network import MemoryHost, MemoryLink, MemoryNet, link_pair

T = TypeVar("T")

KEY = b"k" * 32
SCOPE = b"s" * 16
TOPIC = b"t" * 16


Blocks = Callable[..., tuple[bytes, bytes]]
Pointers = Callable[..., Pointer]
Links = Callable[..., tuple[MemoryLink, MemoryLink]]
Configs = Callable[..., SwarmConfig]
Run = Callable[..., None]


def make_block(size: int = 100) -> tuple[bytes, bytes]:
    sealed = os.urandom(size)
    return b"\x01\x55\x12\x20" + hashlib.sha256(sealed).digest(), sealed


def make_pointer(cid: bytes = b"", size: int = 100, **changes: object) -> Pointer:
    now = time.time()
    fields: dict[str, object] = {
        "name": os.urandom(32),
        "scope": SCOPE,
        "cid": cid or make_block()[0],
        "etag": '"e"',
        "last_modified": None,
        "link": None,
        "lifetime": "normal",
        "proved_at": now,
        "expires_at": now + 60,
        "cost_ms": 80,
        "size": size,
        "by": "",
        "topics": (TOPIC,),
    }
    return Pointer(**(fields | changes))  # type: ignore[arg-type]


@dataclass
class FakeLocalNode:
    blocks: dict[bytes, bytes] = field(default_factory=dict)
    held: list[Pointer] = field(default_factory=list)
    kept: list[Pointer] = field(default_factory=list)
    drops: list[tuple[tuple[bytes, ...], bytes | None]] = field(default_factory=list)
    quotas: list[tuple[bytes, bytes]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    members: int = 0
    stall: float = 0.0
    hung: float = 0.0
    dropped_until: float = 0.0

    async def sealed(self, cid: bytes) -> bytes | None:
        await trio.sleep(self.stall)
        return self.blocks.get(cid)

    async def keep(self, pointer: Pointer, sealed: bytes) -> None:
        self.blocks[pointer.cid] = sealed
        self.kept.append(pointer)

    async def snapshot(self, bound: int) -> list[Pointer]:
        return self.held[:bound]

    async def dropped(self, topics: tuple[bytes, ...], scope: bytes | None, until: float) -> None:
        await trio.sleep(self.stall)
        self.drops.append((tuple(topics), scope))
        self.dropped_until = until

    def quota(self, scope: bytes, state: bytes) -> None:
        self.quotas.append((scope, state))

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def changed(self, members: int) -> None:
        self.members = members

    def silence(self) -> float:
        return self.hung

    def hold(self, size: int = 100, **changes: object) -> tuple[Pointer, bytes]:
        cid, sealed = make_block(size)
        pointer = make_pointer(cid, size, **changes)
        self.blocks[cid] = sealed
        self.held.append(pointer)
        return pointer, sealed


class Node:
    """A mesh over memory links."""

    def __init__(self, world: World, number: int, config: SwarmConfig) -> None:
        self.peer = world.peer(number)
        self.address = parse(config.listen)
        self.host = MemoryHost(world.net, self.peer, self.address)
        self.local = FakeLocalNode()
        limits = config.limits
        self.directory = Directory(limits.directory, limits.directory_per_peer, limits.drops)
        bootstrap = tuple(parse(text) for text in config.bootstrap)
        me = world.identity(number)
        by_token = config.token, config.gatekeeper
        self.mesh = Mesh(config, bootstrap, self.host, self.local, self.directory, me, *by_token)  # type: ignore[arg-type]
        self.scope = trio.CancelScope()
        self.started = trio.Event()
        self.told: tuple[str, ...] = ()
        self._net = world.net

    async def run(self) -> None:
        with self.scope:
            await self.mesh.run(self._started)

    def _started(self, addresses: tuple[str, ...]) -> None:
        self.told = addresses
        self.started.set()

    def session(self, peer: str) -> Session:
        """With a member that is connected."""
        found = self.mesh.members.get(peer)
        assert found is not None
        return found

    async def lead(self, resource: bytes, scope: bytes, caller: object = None) -> int:
        """The token of a lease that nobody holds."""
        token = await self.mesh.leases.acquire(resource, scope, caller=caller)
        assert token is not None
        return token

    def die(self) -> None:
        """As by `kill -9`."""
        self._net.hosts.pop(self.address, None)
        self._net.cut(self.peer)
        self.scope.cancel()


class Guest:
    """A member that says whatever the test wants."""

    def __init__(self, link: MemoryLink, me: identity.Identity) -> None:
        self.link = link
        self.me = me
        self.incoming = Incoming(link)

    def drop(self, token: int, serial: int, age: float, topics: tuple[bytes, ...], scope: bytes | None = None) -> Drop:
        """An invalidation in its own name."""
        signature = self.me.sign(statements.drop(serial, topics, scope))
        return Drop(token, self.me.peer, serial, age, topics, scope, signature)

    def ask(self, token: int, resource: bytes, scope: bytes, arbiter: str, exclude: tuple[str, ...] = ()) -> Acquire:
        """What asks `arbiter` for a lease."""
        at = time.time()
        return Acquire(token, resource, scope, at, self.me.sign(statements.ask(resource, at, arbiter)), exclude)

    async def say(self, *frames: AnyFrame) -> None:
        for frame in frames:
            await self.link.write(encode(frame))

    async def hear(self, kind: type[T] | tuple[type[T], ...]) -> T:
        """The next frame of a kind."""
        while True:
            frame = await self.incoming.next()
            if isinstance(frame, kind):
                return frame


class World:
    """The nodes of one test; `async with world.nodes(...)`."""

    def __init__(self, directory: Path) -> None:
        self.net = MemoryNet()
        self.directory = directory
        self._identities: list[identity.Identity] = []

    def identity(self, number: int) -> identity.Identity:
        """Of a member; peer ids are in ascending order."""
        if not self._identities:
            made = [identity.Identity(bytes([n]) * 32) for n in range(40)]
            self._identities = sorted(made, key=lambda one: one.peer)
        return self._identities[number]

    def peer(self, number: int) -> str:
        return self.identity(number).peer

    def address(self, number: int) -> str:
        return f"/ip4/10.0.0.{number + 1}/tcp/9000"

    def config(
        self,
        number: int,
        *bootstrap: int,
        limits: Limits | None = None,
        save_interval: float = math.inf,
        **changes: Any,
    ) -> SwarmConfig:
        folder = self.directory / str(number)
        folder.mkdir(exist_ok=True)
        made = SwarmConfig(
            self.address(number),
            tuple(self.address(n) for n in bootstrap),
            (),
            folder / "id",
            (KEY,),
            # Saving runs in a thread, and the clock would jump while trio waits for it.
            limits=replace(limits or Limits(), save_interval=save_interval),
        )
        return replace(made, **changes)

    def node(self, number: int, *bootstrap: int, limits: Limits | None = None, **changes: Any) -> Node:
        return Node(self, number, self.config(number, *bootstrap, limits=limits, **changes))

    @asynccontextmanager
    async def running(self, *nodes: Node) -> AsyncIterator[trio.Nursery]:
        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(node.run)
                await node.started.wait()
            yield nursery
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def guest(
        self,
        node: Node,
        number: int = 30,
        *,
        hub: bool = False,
        skew: float = 0.0,
        bootstrap: bool = True,
        addresses: tuple[str, ...] = (),
    ) -> AsyncIterator[Guest]:
        """A proved member under the test's control; `chosen` is one that the node's configuration names."""
        host = MemoryHost(self.net, self.peer(number), parse("/ip4/10.0.0.99/tcp/1"))
        if bootstrap:
            node.mesh.members.add_bootstrap(host.peer)
        async with host.dial(node.address) as link:
            guest = Guest(link, self.identity(number))
            nonce = proof.nonce()
            await guest.say(Hello(MAGIC, MAJOR, MINOR, nonce, time.time() + skew))
            hello = await guest.hear(Hello)
            await guest.say(Proof(proof.prove(KEY, host.peer, node.peer, nonce, hello.nonce)), Welcome(hub, addresses))
            await guest.hear(Welcome)
            yield guest

    @staticmethod
    async def until(condition: Callable[..., object], seconds: float = 20.0) -> None:
        """Wait for something to come true, by the test's clock."""
        with trio.fail_after(seconds):
            while not condition():  # noqa: ASYNC110  # another thread or process: nothing to wait on
                await trio.sleep(seconds / 20_000)

    async def met(self, *nodes: Node, links: int | None = None) -> None:
        wanted = len(nodes) - 1 if links is None else links
        await self.until(lambda: all(len(node.mesh.members) >= wanted for node in nodes))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def block() -> Blocks:
    return make_block


@pytest.fixture
def pointer() -> Pointers:
    return make_pointer


@pytest.fixture
def links() -> Links:
    return link_pair


@pytest.fixture
def run() -> Run:
    """Run a trio test on a clock that jumps over every wait."""

    def start(test: Callable[..., Awaitable[None]], *args: object) -> None:
        async def bounded() -> None:
            with trio.fail_after(600):
                await test(*args)

        trio.run(partial(bounded), clock=trio.testing.MockClock(autojump_threshold=0))

    return start


@pytest.fixture
def config(tmp_path: Path) -> Configs:
    def make(name: str, *bootstrap: str, **changes: Any) -> SwarmConfig:
        made = SwarmConfig("/ip4/127.0.0.1/tcp/0", bootstrap, (), tmp_path / name, (b"k" * 32,))
        return replace(made, **changes)

    return make
