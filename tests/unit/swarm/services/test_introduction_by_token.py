"""A job that is introduced by its OIDC token, or refused, with a sentence on both sides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.handshake import Card, Member
from p2pcache.swarm.rules.admitted import Admitted
from p2pcache.swarm.rules.reasons import OURS, THEIRS, Ended, Reason
from p2pcache.swarm.services.introduction import Incoming, enrol, introduce
from tests.support.memory_network import MemoryLink
from tests.unit.swarm.admitting import place
from tests.unit.swarm.conftest import Links, Run

KEY = b"k" * 32
LIMITS = Limits()


async def admission(
    links: Links, token: str, admit: Callable[[str], Awaitable[Admitted]] | None, key: bytes = KEY
) -> tuple[Ended | Member, Ended | Member]:
    """A job with a token, at a hub."""
    mine, theirs = links("A", "B")
    results: dict[str, Ended | Member] = {}

    async def side(name: str, link: MemoryLink, keys: tuple[bytes, ...], **how: Any) -> None:
        try:
            results[name] = await introduce(link, Incoming(link), name, Card(False, ()), keys, LIMITS, **how)
        except Ended as ended:
            results[name] = ended
        await trio.aclose_forcefully(link.stream)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: side("A", mine, (key,), token=token))
        nursery.start_soon(lambda: side("B", theirs, (KEY,), admit=admit))
    return results["A"], results["B"]


async def listed(token: str) -> Admitted:
    if token != "good":
        raise Ended(Reason.UNLISTED, detail="repository 7 is not on the list")
    return place("7")


def test_a_job_is_admitted_by_its_token(links: Links, run: Run) -> None:
    async def test() -> None:
        (key,) = place("7").membership_keys
        job, hub = await admission(links, "good", listed, key)
        assert isinstance(job, Member)
        assert isinstance(hub, Member)
        assert hub.admitted is not None
        assert (hub.admitted.room, job.admitted) == (place("7").room, None)

    run(test)


def test_a_refusal_is_a_sentence_on_both_sides(links: Links, run: Run) -> None:
    async def test() -> None:
        job, hub = await admission(links, "bad", listed)
        assert str(hub) == "repository 7 is not on the list"
        assert str(job) == THEIRS[Reason.UNLISTED]
        job, hub = await admission(links, "good", None)
        assert str(hub) == OURS[Reason.TOKEN]
        assert str(job) == THEIRS[Reason.TOKEN]

    run(test)


def test_a_verdict_that_takes_too_long_is_none(links: Links, run: Run) -> None:
    async def never(token: str) -> Admitted:
        await trio.sleep_forever()
        raise AssertionError

    async def test() -> None:
        job, hub = await admission(links, "good", never)
        for ended in (job, hub):
            assert isinstance(ended, Ended)
            assert ended.reason is Reason.SILENT

    run(test)


def test_keys_are_asked_for_and_nothing_more(links: Links, run: Run) -> None:
    async def test() -> None:
        mine, theirs = links("A", "B")
        results = []

        async def hub() -> None:
            with pytest.raises(Ended) as ended:
                await introduce(theirs, Incoming(theirs), "B", Card(True, ()), (KEY,), LIMITS, admit=listed)
            results.append(ended.value)
            await trio.aclose_forcefully(theirs.stream)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub)
            assert await enrol(mine, "A", "good", LIMITS) == place("7").keys
        assert [(ended.reason, ended.ours) for ended in results] == [(Reason.LEAVING, False)]
        assert not theirs.trusted

    run(test)
