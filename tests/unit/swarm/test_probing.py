"""Addresses of every kind, dialled for real: the first step that fails is named, and a good one has its figures."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

from p2pcache.addresses import Address, parse
from p2pcache.swarm import Limits, Swarm
from p2pcache.swarm.probing import Probe, probe
from p2pcache.swarm.protocol.frames import MAGIC, MAJOR, MINOR, AnyFrame, Bye, Hello, Ping, Proof, Welcome, encode
from p2pcache.swarm.protocol.membership_proof import nonce, prove
from p2pcache.swarm.rules.admitted import TokenUnavailableError
from p2pcache.swarm.rules.reasons import Reason
from p2pcache.swarm.services.introduction import Incoming
from p2pcache.swarm.services.link import DialStep, Host, LinkError
from tests.support.memory_network import MemoryLink, link_pair
from tests.unit.swarm.admitting import gatekeeper, membership_key, place, token
from tests.unit.swarm.conftest import KEY, Configs
from tests.unit.swarm.lab import Store

OTHER = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
HUB, ME = "12D3KooWHub", "12D3KooWProbe"
NOWHERE = parse("/ip4/10.0.0.1/tcp/9000")


@asynccontextmanager
async def swarm(config: Configs, **changes: object) -> AsyncIterator[Address]:
    node = Swarm(config("hub", hub=True, **changes), Store(), Store())
    await node.start()
    try:
        yield parse(node.multiaddrs[0])
    finally:
        await node.stop()


async def one(address: Address, *keys: bytes, **options: object) -> Probe:
    [found] = await probe([address], keys or (KEY,), **options)  # type: ignore[arg-type]
    return found


async def test_a_member_is_reached_and_measured_by_any_of_its_addresses(config: Configs) -> None:
    async with swarm(config) as address:
        found = await probe([address, address.bare()], (KEY,))
    for each in found:
        assert (each.failed, each.peer, each.hub, each.protocol) == (None, address.peer, True, f"{MAJOR}.{MINOR}")
        assert each.rtt_ms > 0


async def test_the_step_that_fails_is_named(config: Configs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    async with swarm(config) as address, await asyncio.start_server(_web, "127.0.0.1", 0) as web:
        cases = {
            replace(address, kind="dns4", host="nosuch.invalid"): DialStep.NAME,
            replace(address, port=closed): DialStep.TCP,
            replace(address, port=web.sockets[0].getsockname()[1]): DialStep.NOISE,
            replace(address, peer=OTHER): DialStep.PEER_ID,
        }
        found = await probe(list(cases), (KEY,))
    assert [each.failed for each in found] == list(cases.values())
    assert found[3].peer == address.peer
    assert address.peer in found[3].why


async def _web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def test_a_member_of_another_swarm_refuses(config: Configs) -> None:
    async with swarm(config) as address:
        found = await one(address, b"x" * 32)
    assert (found.failed, found.reason, found.refused) == (DialStep.MEMBERSHIP, Reason.SECRET, True)
    assert "CACHE_SECRET" in found.why


async def test_a_job_without_the_secret_proves_itself_by_its_token(config: Configs) -> None:
    async def given(hub: str, peer: str) -> str:
        return token("1", hub, peer)

    async def stolen(hub: str, peer: str) -> str:
        return token("1", hub, hub)

    async def none(hub: str, peer: str) -> str:
        raise TokenUnavailableError("there is none today")

    key = membership_key(place("1").keys)
    async with swarm(config, gatekeeper=gatekeeper) as address:
        assert (await one(address, key, token=given)).failed is None
        refused = await one(address, key, token=stolen)
        assert (refused.failed, refused.reason) == (DialStep.MEMBERSHIP, Reason.TOKEN)
        missing = await one(address, key, token=none)
        assert (missing.failed, missing.why) == (DialStep.MEMBERSHIP, "there is none today")


Play = Callable[[MemoryLink], Awaitable[None]]


class Played:
    """A transport at whose other end a test plays the peer; see `link.Host`."""

    peer = ME

    def __init__(self, play: Play) -> None:
        self._play = play

    @asynccontextmanager
    async def dial(self, address: Address) -> AsyncIterator[MemoryLink]:
        mine, theirs = link_pair(ME, HUB)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._play, theirs)
            yield mine
            nursery.cancel_scope.cancel()


def played(play: Play) -> Callable[..., Host]:
    return lambda seed, listen, limits: Played(play)  # type: ignore[return-value]


def member(*after: AnyFrame, hangs_up: bool = False) -> Callable[..., Host]:
    """A member that answers the first ping with these frames, and then reads on."""

    async def play(link: MemoryLink) -> None:
        incoming = Incoming(link)
        mine = nonce()
        hello = await incoming.next()
        assert isinstance(hello, Hello)
        await link.write(encode(Hello(MAGIC, MAJOR, MINOR, mine, hello.clock)))
        assert isinstance(await incoming.next(), Proof)
        await link.write(encode(Proof(prove(KEY, HUB, ME, mine, hello.nonce))))
        await link.write(encode(Welcome(False, ())))
        while not isinstance(await incoming.next(), Ping):
            pass
        for frame in after:
            await link.write(encode(frame))
        if hangs_up:
            await link.stream.aclose()
        await trio.sleep_forever()

    return played(play)


QUICK = Limits(handshake_timeout=0.5)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (member(), Reason.SILENT),
        (member(Bye(Reason.FULL)), Reason.FULL),
        (member(hangs_up=True), Reason.BROKEN),
    ],
    ids=["is silent", "takes no more members", "hangs up"],
)
async def test_a_member_that_answers_no_ping(host: Callable[..., Host], reason: Reason) -> None:
    found = await one(NOWHERE, host=host, limits=QUICK)
    assert (found.failed, found.reason) == (DialStep.ROUND_TRIP, reason)
    assert found.protocol == f"{MAJOR}.{MINOR}"


async def test_a_link_that_breaks_under_the_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    write = MemoryLink.write

    async def breaking(self: MemoryLink, data: bytes) -> None:
        if data == encode(Ping(0)):
            raise LinkError("broken")
        await write(self, data)

    monkeypatch.setattr(MemoryLink, "write", breaking)
    found = await one(NOWHERE, host=member(), limits=QUICK)
    assert (found.failed, found.reason) == (DialStep.ROUND_TRIP, Reason.BROKEN)


async def test_a_newer_protocol_is_named() -> None:
    async def play(link: MemoryLink) -> None:
        with contextlib.suppress(LinkError):
            await link.write(encode(Hello(MAGIC, MAJOR + 1, 0, nonce(), 0.0)))
            while await link.read():
                pass

    found = await one(NOWHERE, host=played(play), limits=QUICK)
    assert (found.failed, found.reason) == (DialStep.PROTOCOL, Reason.VERSION)


async def test_it_ends_in_time() -> None:
    async def play(link: MemoryLink) -> None:
        await trio.sleep_forever()

    found = await one(NOWHERE, host=played(play), seconds=0.05)
    assert (found.failed, found.why) == (DialStep.NAME, "no result within 0.05 s")


async def test_an_error_inside_is_the_callers() -> None:
    def broken(seed: bytes, listen: Address, limits: Limits) -> Host:
        raise ImportError("inside")

    with pytest.raises(ImportError, match="inside"):
        await one(NOWHERE, host=broken)
