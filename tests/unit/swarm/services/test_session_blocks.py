"""Blocks that a session fetches: deadlines, what is verified, and peers that send something else."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import trio

from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.frames import CHUNK, AnyFrame, Bye, Get, Miss, Part, Ping, parts
from p2pcache.swarm.rules.reasons import Reason
from p2pcache.swarm.services.session import Forged
from tests.unit.swarm.conftest import Blocks, Links, Run
from tests.unit.swarm.session_lab import LIMITS, Pair, scene


@pytest.mark.parametrize("size", [0, 1, CHUNK, 1_000_000])
def test_a_block_is_fetched_and_verified(links: Links, run: Run, block: Blocks, size: int) -> None:
    async def test(pair: Pair) -> None:
        cid, sealed = block(size)
        got = []

        async def fetch() -> None:
            got.append(await pair.session.get(cid, size))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetch)
            asked = await pair.hear(Get)
            assert asked.cid == cid
            for frame in parts(asked.id, sealed):
                await pair.say(frame)
        assert got == [sealed]
        assert (pair.session.blocks_in, pair.session.bytes_in) == (1, size)
        assert pair.session.score.latency is not None

    scene(links, run, test)


async def answer(pair: Pair, *frames: Callable[[int], AnyFrame]) -> None:
    """Answer the next `Get` with frames made for its id."""
    asked = await pair.hear(Get)
    await pair.say(*(make(asked.id) for make in frames))


def test_a_miss(links: Links, run: Run, block: Blocks) -> None:
    async def test(pair: Pair) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, pair, Miss)
            assert await pair.session.get(block()[0], 100) is None
        assert pair.session.running

    scene(links, run, test)


def test_a_silent_peer_costs_its_deadline_and_no_more(links: Links, run: Run, block: Blocks) -> None:
    async def test(pair: Pair) -> None:
        for _ in range(2):
            assert pair.session.score.usable(time.monotonic())
            began = trio.current_time()
            with pytest.raises(trio.TooSlowError):
                await pair.session.get(block()[0], 100)
            assert trio.current_time() - began <= LIMITS.peer_deadline
        assert not pair.session.score.usable(time.monotonic())

    scene(links, run, test)


def test_a_peer_that_stops_in_the_middle_of_a_block(links: Links, run: Run, block: Blocks) -> None:
    async def test(pair: Pair) -> None:
        cid, sealed = block(2 << 20)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, pair, lambda token: next(parts(token, sealed)))
            with pytest.raises(trio.TooSlowError):
                await pair.session.get(cid, len(sealed))
        assert trio.current_time() - began < LIMITS.peer_deadline + 0.3

    scene(links, run, test)


def test_a_peer_that_dies_in_the_middle_of_a_block_is_known_at_once(links: Links, run: Run, block: Blocks) -> None:
    async def test(pair: Pair) -> None:
        cid, sealed = block(1 << 20)

        async def die() -> None:
            await answer(pair, lambda token: next(parts(token, sealed)))
            await trio.aclose_forcefully(pair.far.stream)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(die)
            began = trio.current_time()
            assert await pair.session.get(cid, len(sealed)) is None
            assert trio.current_time() - began < 0.01
        assert pair.session.score.empty == 0

    scene(links, run, test)


def test_other_bytes_than_the_name_says_are_never_delivered(links: Links, run: Run, block: Blocks) -> None:
    async def test(pair: Pair) -> None:
        cid, sealed = block(100)
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer, pair, lambda token: Part(token, 100, sealed[::-1]))
                with pytest.raises(Forged):
                    await pair.session.get(cid, 100)
        assert (await pair.end()).reason is Reason.BLOCKS
        assert (await pair.hear(Bye)).reason == Reason.BLOCKS

    scene(links, run, test)


@pytest.mark.parametrize(
    "bad",
    [
        lambda token: Part(token, 10, b"x" * 11),
        lambda token: Part(token, 10, b""),
    ],
    ids=["more than it said", "nothing for ever"],
)
def test_parts_that_do_not_add_up_end_the_session(
    links: Links, run: Run, block: Blocks, bad: Callable[[int], Part]
) -> None:
    async def test(pair: Pair) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, pair, bad)
            assert await pair.session.get(block()[0], 100) is None
        assert (await pair.end()).reason is Reason.GARBAGE

    scene(links, run, test)


def test_a_block_larger_than_somebody_said_is_not_taken_and_its_sender_stays(
    links: Links, run: Run, block: Blocks
) -> None:
    async def test(pair: Pair) -> None:
        async with trio.open_nursery() as nursery:
            large = [lambda token: Part(token, 1 << 20, b"x" * 60_000)] * 2
            nursery.start_soon(answer, pair, *large)
            assert await pair.session.get(block()[0], 100) is None
        assert pair.session.running

    scene(links, run, test)


def test_a_total_that_changes_on_the_way(links: Links, run: Run, block: Blocks) -> None:
    async def test(pair: Pair) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, pair, lambda token: Part(token, 10, b"x"), lambda token: Part(token, 11, b"x"))
            assert await pair.session.get(block()[0], 100) is None
        assert (await pair.end()).reason is Reason.GARBAGE

    scene(links, run, test)


def test_a_block_is_not_waited_for_from_a_peer_that_never_reads(links: Links, run: Run, block: Blocks) -> None:
    async def test(pair: Pair) -> None:
        pair.link.deaf = True
        while pair.session.connection.send(Ping(1)):
            pass
        assert await pair.session.get(block()[0], 100) is None
        assert (await pair.end()).reason is Reason.DEAF

    scene(links, run, test, Limits(queue=10_000))
