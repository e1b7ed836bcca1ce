"""A stranger who reaches the hub's port: keeps no member out, costs little, learns nothing, and cannot fill the log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pcache.cache.sealing import generate_secret
from p2pcache.swarm.protocol.frames import MAGIC, MAJOR, MINOR, Hello, Proof, encode
from p2pcache.swarm.protocol.membership_proof import nonce, prove
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.testing.liar import Liar
from tests.support.swarms import Fleet, hub_process, membership_key, until

MUTE, HALF_OPEN = 70, 250
JOINS = 5
MB = 1 << 20


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A hub in a process of its own."""
    secret = generate_secret()
    with hub_process(tmp_path / "hub", secret) as ready:
        deadline = time.monotonic() + 30
        while not (said := json.loads(ready["ready_file"].read_text()))["multiaddrs"]:
            assert time.monotonic() < deadline, ready["log"].read_text()
            time.sleep(0.02)
        yield {**said, "key": membership_key(secret), "log": ready["log"]}


def resident(pid: int) -> int:
    """Bytes of memory a process occupies."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmRSS")


async def joins(hub: dict[str, Any]) -> float:
    """Seconds that members needed to be let in, the quickest: what a busy machine adds is not the hub's doing."""
    took = []
    for _ in range(JOINS):
        async with Liar(hub["key"]) as member:
            began = time.monotonic()
            meeting = await member.meet(hub["multiaddrs"][0])
            took.append(time.monotonic() - began)
            assert meeting.peer == hub["peer_id"]
    return min(took)


@contextlib.asynccontextmanager
async def mute(hub: dict[str, Any], number: int) -> AsyncIterator[Any]:
    """Connections that say nothing."""
    _, _, host, _, port, *_ = hub["multiaddrs"][0].split("/")
    writers = [(await asyncio.open_connection(host, int(port)))[1] for _ in range(number)]
    try:
        yield
    finally:
        for writer in writers:
            writer.close()


@contextlib.asynccontextmanager
async def half_open(hub: dict[str, Any], number: int) -> AsyncIterator[Any]:
    """Connections that finished the transport's handshake, or hang in it, and never prove anything."""
    async with Liar(b"no member's key, no member's key") as stranger:
        loitering = [asyncio.create_task(_loiter(stranger, hub)) for _ in range(number)]
        # Each has said all it will ever say, or is kept waiting outside.
        await until(lambda: sum(task.done() for task in loitering) >= min(number, 16))
        try:
            yield
        finally:
            for task in loitering:
                task.cancel()


async def _loiter(stranger: Liar, hub: dict[str, Any]) -> None:
    with contextlib.suppress(Exception):
        await stranger.raw(hub["multiaddrs"][0])


@pytest.mark.parametrize(("crowd", "number"), [(mute, MUTE), (half_open, HALF_OPEN)], ids=["mute", "half-open"])
async def test_a_crowd_of_strangers_keeps_no_member_out(
    hub: dict[str, Any], crowd: Callable[..., Any], number: int
) -> None:
    alone = await joins(hub)
    before = resident(hub["pid"])
    async with crowd(hub, number):
        assert await joins(hub) - alone < 1.0
        assert resident(hub["pid"]) - before < 20 * MB


async def test_strangers_that_come_again_and_again_are_a_line_or_two_in_the_log(hub: dict[str, Any]) -> None:
    for _ in range(30):
        async with Liar(b"no member's key, no member's key") as stranger:
            with pytest.raises(Ended) as ended:
                await stranger.meet(hub["multiaddrs"][0])
            assert ended.value.reason is Reason.SECRET
    lines = [line for line in hub["log"].read_text().splitlines() if "a peer at" in line]
    assert len(lines) == 1
    assert "the swarm secrets differ" in lines[0]


async def test_a_hub_proves_nothing_to_who_has_not_proved_itself(tmp_path: Path) -> None:
    """What a stranger were told could be tried against all the secrets it can think of."""
    fleet = Fleet(tmp_path)
    try:
        hub = await fleet.member(hub=True)
        async with Liar(b"no member's key, no member's key") as stranger:
            meeting = await stranger.raw(hub.address)
            mine = nonce()
            await meeting.say(Hello(MAGIC, MAJOR, MINOR, mine, time.time()))
            hello = await meeting.hear(Hello)
            forged = prove(b"o" * 32, stranger.peer, hub.peer, mine, hello.nonce)
            await meeting.send(encode(Proof(forged)))
            await asyncio.wait_for(meeting.over.wait(), 10)
            with pytest.raises(TimeoutError):
                await meeting.hear(Proof, 0)
    finally:
        await fleet.close()
