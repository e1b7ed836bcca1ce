"""A fleet as it lives: separate processes, real libp2p over loopback."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest

from tests.integration.swarm.conftest import Fleet, Member, Upstream


async def everywhere(members: list[Member], do: str, **how: Any) -> list[Any]:
    return await asyncio.gather(*(member.do(do, **how) for member in members))


async def test_twenty_nodes_and_ten_cold_urls_make_ten_upstream_calls(fleet: Fleet, upstream: Upstream) -> None:
    _, members = await fleet.of(20, patient=True)
    names = [os.urandom(32).hex() for _ in range(10)]
    results = await everywhere(members, "want", names=names, port=upstream.port)
    assert len(upstream.calls) == 10
    assert sum(result.get("upstream", 0) for result in results) == 10
    assert sum(sum(result.values()) for result in results) == 200


async def test_the_second_node_is_served_by_the_first(fleet: Fleet, upstream: Upstream) -> None:
    hub, (a, b) = await fleet.of(2, patient=True)
    name = os.urandom(32).hex()
    assert await a.do("want", names=[name], port=upstream.port) == {"upstream": 1}
    await b.do("sees", name=name)
    assert await b.do("want", names=[name], port=upstream.port) == {"peer": 1}
    assert len(upstream.calls) == 1
    report = await b.do("report")
    assert sum(row["blocks_in"] for row in report["peers"]) == 1
    assert report["warnings"] == []
    assert {row["peer"] for row in report["peers"]} >= {hub.peer}


async def test_fifty_nodes_join_one_hub_at_once(fleet: Fleet) -> None:
    hub = await fleet.spawn(hub=True)
    await fleet.start(hub)
    members = [await fleet.spawn() for _ in range(50)]
    await asyncio.gather(*(member.hear() for member in members))
    await everywhere(members, "start", bootstrap=hub.addresses)
    assert await hub.do("connected", n=50, timeout=80.0)
    rows = (await hub.do("report"))["peers"]
    assert len({row["peer"] for row in rows}) == 50


async def test_a_hub_killed_in_the_middle_of_a_load_loses_no_answer(fleet: Fleet, upstream: Upstream) -> None:
    hub, members = await fleet.of(6, patient=True)
    await everywhere(members, "connected", n=4, timeout=30.0)
    names = [os.urandom(32).hex() for _ in range(40)]
    for member in members:
        await member.tell("want", names=names, port=upstream.port)
    while len(upstream.calls) < 5:  # noqa: ASYNC110  # another thread or process: nothing to wait on
        await asyncio.sleep(0.005)
    await hub.kill()
    results = await asyncio.gather(*(member.hear() for member in members))
    assert all(sum(result.values()) == 40 for result in results)
    assert len(upstream.calls) < 6 * 40  # not each for itself, though for a moment they see different members
    assert all(await everywhere(members, "connected", n=5, timeout=20.0))
    more = [os.urandom(32).hex() for _ in range(5)]
    before = len(upstream.calls)
    await everywhere(members, "want", names=more, port=upstream.port)
    assert len(upstream.calls) - before == 5
    again = await fleet.spawn()
    await fleet.start(again, bootstrap=members[0].addresses)
    assert await again.do("connected", n=1)


async def test_a_hub_that_restarts_is_back_within_five_seconds_with_its_identity(fleet: Fleet) -> None:
    directory = str(fleet.directory)
    hub = await fleet.spawn(hub=True, directory=directory)
    await fleet.start(hub)
    members = [await fleet.spawn() for _ in range(3)]
    await fleet.start(*members, bootstrap=hub.addresses)
    await everywhere(members, "connected", n=1)
    await hub.kill()
    port = hub.addresses[0].split("/")[4]
    again = await fleet.spawn(hub=True, directory=directory, listen=f"/ip4/127.0.0.1/tcp/{port}")
    await fleet.start(again)
    assert again.peer == hub.peer
    assert await again.do("connected", n=3, timeout=5.0)


async def test_a_stopped_peer_costs_callers_no_more_than_the_deadline_and_is_dropped(fleet: Fleet) -> None:
    import signal

    hub, (a, b) = await fleet.of(2, limits={"ping_interval": 1.0})
    name, *_ = await a.do("hold", size=50_000)
    await b.do("sees", name=name)
    a.signal(signal.SIGSTOP)
    hub.signal(signal.SIGSTOP)
    for digest, seconds in await b.do("fetch", name=name, times=5):
        assert digest is None
        assert seconds < 0.35
    while [row["state"] for row in (await b.do("report"))["peers"]].count("dropped") < 1:  # noqa: ASYNC110  # another thread or process: nothing to wait on
        await asyncio.sleep(0.1)
    report = await b.do("report")
    assert {row["reason"] for row in report["peers"] if row["state"] == "dropped"} == {"it does not answer"}
    assert report["counters"]["peer_timeout"] >= 1


async def test_a_leader_whose_node_hangs_frees_the_others_within_a_second(fleet: Fleet, upstream: Upstream) -> None:
    _, (leader, *others) = await fleet.of(4)
    name = os.urandom(32).hex()
    assert await leader.do("lead", name=name)
    await leader.tell("hang", seconds=6.0)
    began = time.monotonic()
    results = await everywhere(others, "want", names=[name], port=upstream.port)
    assert time.monotonic() - began < 2.0  # the second, and a busy machine
    assert len(upstream.calls) == 1
    assert sorted(next(iter(result)) for result in results) == ["peer", "peer", "upstream"]


async def test_a_peer_killed_in_the_middle_of_a_block(fleet: Fleet) -> None:
    _, (a, b) = await fleet.of(2)
    name, digest, _ = await a.do("hold", size=20_000_000)
    await b.do("sees", name=name)
    await b.tell("fetch", name=name)
    await asyncio.sleep(0.05)
    await a.kill()
    [[got, seconds]] = await b.hear()
    assert got in (None, digest)
    assert seconds < 2.5
    while any(row["peer"] == a.peer and row["state"] == "member" for row in (await b.do("report"))["peers"]):  # noqa: ASYNC110  # another thread or process: nothing to wait on
        await asyncio.sleep(0.05)


async def test_another_secret_is_one_clear_line_on_both_sides(fleet: Fleet) -> None:
    hub = await fleet.spawn(hub=True)
    stranger = await fleet.spawn(key="x" * 32)
    await fleet.start(hub)
    await fleet.start(stranger, bootstrap=hub.addresses)
    for member in (hub, stranger):
        while not (report := await member.do("report"))["warnings"]:  # noqa: ASYNC110  # another thread or process: nothing to wait on
            await asyncio.sleep(0.01)
        assert len(report["warnings"]) == 1
        assert "the swarm secrets differ" in report["warnings"][0]
        assert "refused" in {row["state"] for row in report["peers"]}
    assert not await stranger.do("connected", timeout=0.1)


async def test_a_member_whose_port_is_busy_takes_another_and_says_so_in_one_line(fleet: Fleet) -> None:
    one, other, third = [await fleet.spawn() for _ in range(3)]
    await fleet.start(one)
    wished = one.addresses[0].split("/p2p")[0]
    await fleet.start(other, listen=wished)
    found = other.addresses[0].split("/p2p")[0]
    assert found != wished
    warnings = (await other.do("report"))["warnings"]
    assert warnings == [f"{wished} cannot be had: the swarm listens on {found} instead"]
    await fleet.start(third, bootstrap=[other.addresses[0]])
    assert await third.do("connected")
    assert {row["peer"] for row in (await third.do("report"))["peers"]} == {other.peer}


async def test_a_hub_whose_port_is_busy_is_one_clear_line(fleet: Fleet) -> None:
    one, hub = await fleet.spawn(), await fleet.spawn(hub=True)
    await fleet.start(one)
    await hub.hear()
    with pytest.raises(AssertionError, match=r"Address already in use.*choose another port"):
        await hub.start(listen=one.addresses[0].split("/p2p")[0])


async def test_an_unreachable_bootstrap_is_one_clear_line_and_tried_again(fleet: Fleet) -> None:
    late = await fleet.spawn()
    await fleet.start(late)
    address = late.addresses[0].split("/p2p")[0]
    await late.do("stop")
    member = await fleet.spawn()
    await fleet.start(member, bootstrap=[address])
    while not (report := await member.do("report"))["warnings"]:  # noqa: ASYNC110  # another thread or process: nothing to wait on
        await asyncio.sleep(0.01)
    assert report["warnings"] == [f"bootstrap {address}: nothing listens there; it is tried again in the background"]
    await late.start(listen=address)
    assert await member.do("connected", timeout=6.0)


async def test_drops_and_quotas_reach_everybody_before_the_writer_goes_on(fleet: Fleet) -> None:
    hub, members = await fleet.of(4)
    name, *_ = await members[0].do("hold", size=100)
    await everywhere(members[1:], "sees", name=name)
    seconds = await members[1].do("drop")
    assert seconds < 0.2
    reports = await everywhere([hub, members[0], *members[2:]], "report")
    assert all(report["drops"] == 1 for report in reports)
    await members[0].do("quota", state="990/1000")
    for member in (hub, *members[1:]):
        while not (report := await member.do("report"))["quotas"]:  # noqa: ASYNC110  # another thread or process: nothing to wait on
            await asyncio.sleep(0.01)
        assert bytes.fromhex(report["quotas"][0][1]) == b"990/1000"
