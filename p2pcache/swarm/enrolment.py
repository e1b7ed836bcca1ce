"""A job asks a hub for its keys before it has any, and so before it can start a swarm of its own. asyncio side."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from typing import Any

from p2pcache.addresses import parse
from p2pcache.cache.sealing import JobKeys
from p2pcache.swarm.bridge import Bridge, BridgeClosed
from p2pcache.swarm.rules.admitted import TokenSource, TokenUnavailableError
from p2pcache.swarm.rules.config import Limits, SwarmError
from p2pcache.swarm.rules.reasons import Ended, fault
from p2pcache.swarm.services import introduction
from p2pcache.swarm.services.link import Link, LinkError
from p2pcache.swarm.swarm import HostFactory, libp2p

SECONDS = 12.0
"""For all of it: loading libp2p takes a second of these, and more where many jobs start at once."""
_ANY = "/ip4/127.0.0.1/tcp/0"


async def enrol(
    hubs: Sequence[str],
    token: TokenSource,
    limits: Limits | None = None,
    *,
    host: HostFactory = libp2p,
    seconds: float = SECONDS,
) -> tuple[JobKeys, ...]:
    """Return what the first of the hubs that accepts this job's OIDC token grants.

    The connection has a key of its own, which is forgotten with it; the node's swarm dials again, with another token.

    Args:
        hubs: multiaddrs with ``/p2p/ID``, without which there is nothing to bind a token to; others are passed over.
        token: gives one for a hub.
        limits: deadlines of each connection.
        host: another transport, for tests.
        seconds: for all of them.

    Raises:
        SwarmError: none does; one sentence with the reason of each.
    """
    addresses = [address for address in map(parse, hubs) if address.peer]
    if not addresses:
        raise SwarmError("a hub admits by OIDC at an address that ends in /p2p/ and its peer id, which this one lacks")
    chosen = limits or Limits()
    bridge = Bridge()
    found: asyncio.Future[tuple[JobKeys, ...]] = asyncio.get_running_loop().create_future()
    problems: list[str] = []

    async def main() -> None:
        answer: tuple[JobKeys, ...] | Exception
        made = host(secrets.token_bytes(32), parse(_ANY, listen=True), chosen)
        for address in addresses:
            try:
                own = await bridge.ask(token, address.peer, made.peer)
                async with made.dial(address) as link:
                    answer = await _asked(link, made.peer, own, chosen)
            except (LinkError, TokenUnavailableError) as error:
                answer = error
            if isinstance(answer, tuple):
                bridge.post_back(found.set_result, answer)
                return
            problems.append(f"{address.bare()}: {answer}")

    finished = bridge.start(main)
    either: list[asyncio.Future[Any]] = [finished, found]
    await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    with contextlib.suppress(BridgeClosed):
        await bridge.stop(chosen.stop_timeout)
    if found.done():
        return found.result()
    if finished.done() and (error := finished.result()) is not None and not problems:
        problems.append(f"an internal error ({fault(error)})")
    raise SwarmError("; ".join(problems) or f"no answer within {seconds:g} s")


async def _asked(link: Link, me: str, token: str, limits: Limits) -> tuple[JobKeys, ...] | Exception:
    """Return the keys, or why there are none: raised over a link, that would arrive wrapped in a group."""
    try:
        return await introduction.enrol(link, me, token, limits)
    except Ended as ended:
        return ended
