"""A job that asks a hub for its keys, over the real transport; and what a node with such keys does with its hub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from p2pcache.addresses import Address
from p2pcache.swarm import Limits, Swarm, SwarmError
from p2pcache.swarm.enrolment import enrol
from p2pcache.swarm.rules.admitted import TokenUnavailableError
from p2pcache.swarm.services.link import Host
from tests.unit.swarm.admitting import gatekeeper, membership_key, place, token
from tests.unit.swarm.conftest import Configs
from tests.unit.swarm.lab import Store, until

NOBODY = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"


def source(repository: str) -> Callable[[str, str], Awaitable[str]]:
    async def give(hub: str, peer: str) -> str:
        return token(repository, hub, peer)

    return give


@pytest.fixture
async def hub(config: Configs) -> AsyncIterator[tuple[Store, Swarm]]:
    node = Store()
    swarm = Swarm(config("hub", hub=True, gatekeeper=gatekeeper), node, node)
    await swarm.start()
    yield node, swarm
    await swarm.stop()


async def test_keys_are_granted_and_open_the_room_on_the_next_dial(hub: tuple[Store, Swarm], config: Configs) -> None:
    _, swarm = hub
    keys = await enrol([NOBODY, *swarm.multiaddrs], source("1"))
    assert keys == place("1").keys
    node = Store()
    member = Swarm(
        config("job", *swarm.multiaddrs, membership_keys=(membership_key(keys),), token=source("1")), node, node
    )
    await member.start()
    try:
        assert await member.connected(1, 10)
        assert [row.peer_id for row in member.peers()] == [swarm.peer_id]

        async def listed() -> list[str]:
            return [row.repository for row in swarm.peers() if row.peer_id == member.peer_id]

        assert await until(listed) == ["job of 1"]
    finally:
        await member.stop()


async def test_a_node_whose_token_is_for_another_is_refused_and_says_so(
    hub: tuple[Store, Swarm], config: Configs
) -> None:
    theirs, swarm = hub

    async def stolen(at: str, peer: str) -> str:
        return token("1", at, swarm.peer_id)

    with pytest.raises(SwarmError, match="does not accept this job's OIDC token"):
        await enrol(swarm.multiaddrs, stolen)

    async def logged() -> bool:
        return any("it was made for another hub or by another node" in warning for warning in theirs.warnings)

    assert await until(logged)


async def test_without_a_token_no_hub_is_dialled(hub: tuple[Store, Swarm], config: Configs) -> None:
    _, swarm = hub

    async def none(at: str, peer: str) -> str:
        raise TokenUnavailableError("there is none today")

    with pytest.raises(SwarmError, match="there is none today"):
        await enrol(swarm.multiaddrs, none)
    node = Store()
    member = Swarm(config("job", *swarm.multiaddrs, token=none), node, node)
    await member.start()
    try:

        async def reasons() -> list[str]:
            return [row.reason for row in member.peers() if row.state == "unreached"]

        assert await until(reasons) == ["there is none today"]
    finally:
        await member.stop()


async def test_a_hub_without_a_peer_id_has_nothing_to_bind_a_token_to() -> None:
    with pytest.raises(SwarmError, match="/p2p/"):
        await enrol(["/ip4/127.0.0.1/tcp/9100"], source("1"))


async def test_it_ends_in_time_and_names_what_failed_inside() -> None:
    async def slow(at: str, peer: str) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(SwarmError, match=r"no answer within 0\.01 s"):
        await enrol([NOBODY], slow, seconds=0.01)

    def broken(seed: bytes, listen: Address, limits: Limits) -> Host:
        raise RuntimeError("inside")

    with pytest.raises(SwarmError, match="internal error"):
        await enrol([NOBODY], source("1"), host=broken)


async def test_a_hub_that_was_restarted_is_joined_again_with_a_new_token(config: Configs) -> None:
    asked: list[str] = []

    async def counted(at: str, peer: str) -> str:
        asked.append(at)
        return token("1", at, peer)

    async def start(listen: str) -> Swarm:
        made = Swarm(config("hub", hub=True, gatekeeper=gatekeeper, listen=listen), Store(), Store())
        await made.start()
        return made

    hub = await start("/ip4/127.0.0.1/tcp/0")
    key = place("1").membership_keys
    member = Swarm(config("job", *hub.multiaddrs, membership_keys=key, token=counted), Store(), Store())
    await member.start()
    try:
        assert await member.connected(1, 10)
        await hub.stop()
        hub = await start(f"/ip4/127.0.0.1/tcp/{hub.port}")

        async def listed() -> bool:
            return any(row.repository == "job of 1" and row.since for row in hub.peers())

        assert await until(listed)
        assert len(asked) >= 2
    finally:
        await member.stop()
        await hub.stop()
