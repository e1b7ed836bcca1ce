"""Addresses dialled step by step, to find out which step fails: name to round trip. asyncio side."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import trio

from p2pcache.addresses import Address, parse
from p2pcache.swarm.bridge import Bridge, BridgeClosed
from p2pcache.swarm.protocol.frames import MAJOR, Bye, Ping, Pong, encode
from p2pcache.swarm.protocol.handshake import Card
from p2pcache.swarm.rules.admitted import TokenSource, TokenUnavailableError
from p2pcache.swarm.rules.config import Limits
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.swarm.services.introduction import Incoming, farewell, introduce
from p2pcache.swarm.services.link import DialStep, Host, Link, LinkError
from p2pcache.swarm.swarm import HostFactory, libp2p

SECONDS = 25.0
"""For all addresses, which are dialled side by side; loading libp2p takes a second of these."""
_ANY = "/ip4/127.0.0.1/tcp/0"


@dataclass(frozen=True, slots=True)
class Probe:
    """What was seen at an address, as far as dialling went.

    Attributes:
        address: as it was given.
        failed: the first step that failed; None: all went well.
        why: the reason, in a few words that hold nothing a peer sent.
        reason: of a session that one of the sides ended; else None.
        refused: the other side ended it.
        peer: the id of the peer that answers there, as Noise proved it; "" before that step.
        hub: it is one.
        protocol: the version that it speaks, ``MAJOR.MINOR``.
        rtt_ms: of one ping, in milliseconds.
    """

    address: Address
    failed: DialStep | None = None
    why: str = ""
    reason: Reason | None = None
    refused: bool = False
    peer: str = ""
    hub: bool = False
    protocol: str = ""
    rtt_ms: float = 0.0


async def probe(
    addresses: Sequence[Address],
    keys: tuple[bytes, ...],
    *,
    token: TokenSource | None = None,
    limits: Limits | None = None,
    host: HostFactory = libp2p,
    seconds: float = SECONDS,
) -> tuple[Probe, ...]:
    """Dial each address as a member with a key pair of its own, measure one round trip, and leave.

    A peer other than the expected one receives no proof of membership.

    Args:
        addresses: each with the id of the peer that has to answer, where that is known.
        keys: the membership keys, 32 bytes each; the first proves.
        token: gives OIDC tokens, for a job whose keys a hub granted.
        limits: deadlines of each step.
        host: another transport, for tests.
        seconds: for all of them; what has not ended by then failed at its first step.

    Raises:
        ImportError: libp2p is not installed.
    """
    chosen = limits or Limits()
    bridge = Bridge()
    found = [Probe(address, DialStep.NAME, f"no result within {seconds:g} s") for address in addresses]

    async def one(index: int, address: Address) -> None:
        made = host(secrets.token_bytes(32), parse(_ANY, listen=True), chosen)
        own = ""
        if token is not None and address.peer:
            try:
                own = await bridge.ask(token, address.peer, made.peer)
            except TokenUnavailableError as error:
                found[index] = Probe(address, DialStep.MEMBERSHIP, str(error))
                return
        found[index] = await _dialled(made, address, keys, own, chosen)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for index, address in enumerate(addresses):
                nursery.start_soon(one, index, address)

    finished = bridge.start(main)
    await asyncio.wait([finished], timeout=seconds)
    with contextlib.suppress(BridgeClosed):
        await bridge.stop(chosen.stop_timeout)
    if finished.done() and (error := finished.result()) is not None:
        raise _first(error)
    return tuple(found)


async def _dialled(host: Host, address: Address, keys: tuple[bytes, ...], token: str, limits: Limits) -> Probe:
    try:
        # Without the expected id, which the transport would compare: the id of a wrong peer is worth knowing.
        async with host.dial(address.bare()) as link:
            seen = Probe(address, peer=link.peer)
            if address.peer not in (None, link.peer):
                return replace(seen, failed=DialStep.PEER_ID, why=f"another peer answers there, {link.peer}")
            return await _introduced(host, link, seen, keys, token, limits)
    except LinkError as error:
        return Probe(address, error.step or DialStep.NOISE, str(error))


async def _introduced(
    host: Host, link: Link, seen: Probe, keys: tuple[bytes, ...], token: str, limits: Limits
) -> Probe:
    """Prove membership over a link, and measure; never raises, since a link would wrap it in a group."""
    incoming = Incoming(link)
    step = DialStep.MEMBERSHIP
    try:
        member = await introduce(link, incoming, host.peer, Card(hub=False, addresses=()), keys, limits, token)
        seen = replace(seen, hub=member.hub, protocol=f"{MAJOR}.{member.minor}")
        step = DialStep.ROUND_TRIP
        seen = replace(seen, rtt_ms=await _round_trip(link, incoming, limits))
        await farewell(link, Reason.LEAVING)
    except Ended as ended:
        failed = DialStep.PROTOCOL if ended.reason in (Reason.VERSION, Reason.GARBAGE) else step
        return replace(seen, failed=failed, why=str(ended), reason=ended.reason, refused=not ended.ours)
    return seen


async def _round_trip(link: Link, incoming: Incoming, limits: Limits) -> float:
    """Return the milliseconds of one ping; what else a member sends to a joiner is skipped.

    Raises:
        Ended: the link broke, or nothing came back in time.
    """
    began = trio.current_time()
    with trio.move_on_after(limits.handshake_timeout):
        try:
            await link.write(encode(Ping(0)))
        except LinkError:
            raise Ended(Reason.BROKEN) from None
        while not isinstance(frame := await incoming.next(), Pong):
            if isinstance(frame, Bye):
                raise Ended(Reason.of(frame.reason), ours=False)
        return 1000 * (trio.current_time() - began)
    raise Ended(Reason.SILENT)


def _first(error: BaseException) -> BaseException:
    """Return the first error of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
