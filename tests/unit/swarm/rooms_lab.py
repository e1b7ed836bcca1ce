"""Jobs that a hub admitted, under the test's control."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from p2pcache.addresses import parse
from p2pcache.cache.codec import cid_of
from p2pcache.cache.entry import Pointer
from p2pcache.cache.sealing import SealedKind
from p2pcache.swarm.protocol import membership_proof as proof
from p2pcache.swarm.protocol.frames import (
    MAGIC,
    MAJOR,
    MINOR,
    Enrol,
    Get,
    Granted,
    Have,
    Hello,
    Part,
    Peers,
    Proof,
    Welcome,
)
from p2pcache.swarm.rules.admitted import Admitted
from tests.support.memory_network import MemoryHost
from tests.unit.swarm.admitting import gatekeeper, membership_key, place, token
from tests.unit.swarm.conftest import Guest, Node, World, make_pointer

WHILE = 0.5
"""Seconds in which a hub passes on what it does; it asks for a sign of life after a few more."""


@asynccontextmanager
async def enrolled(
    world: World, hub: Node, number: int, repository: str, context: str = ""
) -> AsyncIterator[tuple[Guest, Admitted]]:
    """A job that the hub admitted, under the test's control."""
    host = MemoryHost(world.net, world.peer(number), parse("/ip4/10.0.0.99/tcp/1"))
    async with host.dial(hub.address) as link:
        guest = Guest(link, world.identity(number))
        nonce = proof.nonce()
        await guest.say(Hello(MAGIC, MAJOR, MINOR, nonce, time.time()))
        hello = await guest.hear(Hello)
        await guest.say(Enrol(token(repository, hub.peer, host.peer, context)))
        keys = (await guest.hear(Granted)).keys
        key = membership_key(keys)
        await guest.say(Proof(proof.prove(key, host.peer, hub.peer, nonce, hello.nonce)), Welcome(False, ()))
        await guest.hear(Welcome)
        yield guest, place(repository, context)


def sealed(admitted: Admitted, **changes: object) -> tuple[Pointer, bytes]:
    block = admitted.keyring.seal(b"an answer", SealedKind.BLOCK)
    return make_pointer(cid_of(block), len(block), by="12D3", **changes), block


async def give(guest: Guest, pointer: Pointer, block: bytes) -> None:
    """Announce a block, and deliver it to the hub that fetches it."""
    await guest.say(Have((pointer,)))
    get = await guest.hear(Get)
    assert get.cid == pointer.cid
    await guest.say(Part(get.id, len(block), block))


async def announced(guest: Guest) -> Pointer:
    [pointer] = (await guest.hear(Have)).pointers
    return pointer


async def silent(guest: Guest, kind: type[object] | tuple[type[object], ...]) -> None:
    """Nothing of that kind comes for a while."""
    with trio.move_on_after(WHILE) as scope:
        await guest.hear(kind)
    assert scope.cancelled_caught


async def named(guest: Guest) -> set[str]:
    """The members that are named within a while."""
    found: set[str] = set()
    until = trio.current_time() + WHILE
    while trio.current_time() < until:
        with trio.move_on_at(until):
            found |= {known.peer for known in (await guest.hear(Peers)).known}
    return found


def admitting(world: World) -> Node:
    return world.node(0, hub=True, gatekeeper=gatekeeper)
