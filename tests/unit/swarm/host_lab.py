"""A libp2p host over loopback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import trio

from p2pcache.addresses import parse
from p2pcache.swarm import Limits
from p2pcache.swarm.host import LibP2PHost, _Link
from p2pcache.swarm.services.link import Link, LinkError

ANY = parse("/ip4/127.0.0.1/tcp/0", listen=True)

PATIENT = Limits(handshakes=2, dial_timeout=20.0, handshake_timeout=20.0)

QUICK = replace(PATIENT, handshake_timeout=1.0, dial_timeout=1.0)

"""Where the deadline is what the test waits for; elsewhere a starved machine must not meet it."""


def host(seed: int, limits: Limits = PATIENT) -> LibP2PHost:
    return LibP2PHost(bytes([seed]) * 32, ANY, limits)


async def echo(link: _Link) -> None:
    link.trust()
    try:
        while data := await link.read():
            await link.write(data)
    except LinkError:
        pass


def scene(
    test: Callable[..., Awaitable[None]],
    limits: Limits = PATIENT,
    handler: Callable[..., Awaitable[None]] = echo,
    seconds: float = 50,
) -> None:
    async def start() -> None:
        with trio.fail_after(seconds):
            server = host(1, limits)
            address = await server.bind()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.serve, handler)
                await test(server, address)
                nursery.cancel_scope.cancel()

    trio.run(start)


async def read(link: Link, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await link.read()
    return data
