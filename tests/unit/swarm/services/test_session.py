"""One member's stream: requests with deadlines, a queue with a bound, and peers that do not keep to the rules."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import trio
import trio.testing

from p2pcache.cache.entry import CID_PREFIX
from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.frames import (
    CHUNK,
    Ack,
    Acquire,
    AnyFrame,
    Bye,
    Free,
    Get,
    Grant,
    Have,
    Hello,
    Message,
    Miss,
    Part,
    Ping,
    Pong,
    Queued,
    Release,
    encode,
    parts,
)
from p2pcache.swarm.protocol.handshake import Member
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.swarm.services.introduction import Incoming
from p2pcache.swarm.services.link import LinkError
from p2pcache.swarm.services.session import Forged, Session
from tests.unit.swarm.conftest import Blocks, Links, Run

T = TypeVar("T")

LIMITS = Limits()


class Pair:
    """A session and the raw other end."""

    def __init__(self, links: Links, limits: Limits = LIMITS) -> None:
        self.link, self.far = links("A", "B")
        self.frames = Incoming(self.far)
        self.handled: list[Message] = []
        self.session = Session(
            self.link,
            Incoming(self.link).decoder,
            Member("B", False, (), 0.0),
            limits,
            lambda _, frame: self.handled.append(frame),
        )
        self.ended: Ended | None = None
        self.over = trio.Event()

    async def run(self, *first: Callable[[], Awaitable[None]]) -> None:
        self.ended = await self.session.run(*first)
        self.over.set()

    async def end(self) -> Ended:
        """Wait for the session to be over; why it is."""
        await self.over.wait()
        assert self.ended is not None
        return self.ended

    async def say(self, *frames: AnyFrame | bytes) -> None:
        for frame in frames:
            await self.far.write(frame if isinstance(frame, bytes) else encode(frame))

    async def hear(self, kind: type[T]) -> T:
        while True:
            frame = await self.frames.next()
            if isinstance(frame, kind):
                return frame


def scene(links: Links, run: Run, test: Callable[..., Awaitable[None]], limits: Limits = LIMITS) -> None:
    async def start() -> None:
        pair = Pair(links, limits)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.run)
            await test(pair)
            nursery.cancel_scope.cancel()

    run(start)


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


def test_answers_nobody_waits_for_are_passed_over(links: Links, run: Run) -> None:
    async def test(pair: Pair) -> None:
        await pair.say(Part(99, 1, b"x"), Miss(99), Ack(99), Pong(99), Ping(7))
        assert (await pair.hear(Pong)).id == 7
        assert pair.ended is None

    scene(links, run, test)


def test_pings_measure_the_round_trip(links: Links, run: Run) -> None:
    async def test(pair: Pair) -> None:
        asked = await pair.hear(Ping)
        await trio.sleep(0.05)
        await pair.say(Pong(asked.id), Ping(3))
        await pair.hear(Pong)
        assert pair.session.connection.rtt == pytest.approx(0.05)

    scene(links, run, test)


def test_a_peer_that_is_stopped_is_given_up(links: Links, run: Run) -> None:
    async def test(pair: Pair) -> None:
        began = trio.current_time()
        assert (await pair.end()).reason is Reason.SILENT
        assert trio.current_time() - began < 2 * LIMITS.ping_interval

    scene(links, run, test)


def test_a_peer_that_answers_stays(links: Links, run: Run) -> None:
    async def test(pair: Pair) -> None:
        for _ in range(20):
            await pair.say(Pong((await pair.hear(Ping)).id))
        assert pair.ended is None
        assert trio.current_time() > 10 * LIMITS.ping_interval

    scene(links, run, test)


def test_a_peer_that_never_reads_fills_its_own_queue_only(links: Links, run: Run) -> None:
    async def test(pair: Pair) -> None:
        pair.link.deaf = True
        frame = Ping(1)
        sent = 0
        while pair.session.send(frame):
            sent += 1
        assert sent * len(encode(frame)) <= 10_000
        assert (await pair.end()).reason is Reason.DEAF

    scene(links, run, test, Limits(queue=10_000))


def test_a_block_is_not_waited_for_from_a_peer_that_never_reads(links: Links, run: Run, block: Blocks) -> None:
    async def test(pair: Pair) -> None:
        pair.link.deaf = True
        while pair.session.connection.send(Ping(1)):
            pass
        assert await pair.session.get(block()[0], 100) is None
        assert (await pair.end()).reason is Reason.DEAF

    scene(links, run, test, Limits(queue=10_000))


def test_a_write_that_does_not_end_is_given_up(links: Links, run: Run) -> None:
    async def test(pair: Pair) -> None:
        pair.link.deaf = True
        began = trio.current_time()
        assert (await pair.end()).reason is Reason.DEAF
        assert trio.current_time() - began <= 1.0 + 0.2

    scene(links, run, test, Limits(write_timeout=1.0))


@pytest.mark.parametrize(
    ("said", "reason", "ours"),
    [
        (Bye(int(Reason.LEAVING)), Reason.LEAVING, False),
        (Hello("p2pcache", 1, 0, b"n" * 32, 1.0), Reason.GARBAGE, True),
        (b"\xff\xff\xff\xff", Reason.GARBAGE, True),
    ],
    ids=["bye", "hello again", "garbage"],
)
def test_how_sessions_end(links: Links, run: Run, said: bytes | Bye | Hello, reason: Reason, ours: bool) -> None:
    async def test(pair: Pair) -> None:
        await pair.say(said)
        ended = await pair.end()
        assert (ended.reason, ended.ours) == (reason, ours)

    scene(links, run, test)


def test_a_writer_whose_link_breaks(links: Links, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(pair: Pair) -> None:
        async def write(data: bytes) -> None:
            raise LinkError("broken")

        monkeypatch.setattr(pair.link, "write", write)
        assert (await pair.end()).reason is Reason.BROKEN

    scene(links, run, test)


def test_everything_else_is_handed_on(links: Links, run: Run) -> None:
    async def test(pair: Pair) -> None:
        await pair.say(Have(()), Ping(1))
        await pair.hear(Pong)
        assert pair.handled == [Have(())]

    scene(links, run, test)


REQUESTS = [Ping(1), Get(1, CID_PREFIX + bytes(32)), Acquire(1, bytes(32), b"s" * 16, 0.0, bytes(64)), Release(1, None)]
ANSWERS = [Pong(1), Miss(1), Ack(1), Part(1, 0, b""), Grant(1, None, ""), Queued(1, "1" * 46, 0.0, bytes(64))]
RATIONED = Limits(request_rate=10.0, request_burst=50)


@pytest.mark.parametrize("frame", REQUESTS, ids=lambda frame: type(frame).__name__)
def test_requests_without_end_end_the_session(links: Links, run: Run, frame: AnyFrame) -> None:
    async def test(pair: Pair) -> None:
        await pair.say(*[frame] * 50)
        await trio.sleep(1)
        await pair.say(*[frame] * 10)  # for long: at the rate
        await trio.testing.wait_all_tasks_blocked()
        assert not pair.over.is_set()
        await pair.say(*[frame] * 11)
        assert (await pair.hear(Bye)).reason == Reason.FLOOD

    scene(links, run, test, RATIONED)


@pytest.mark.parametrize("frame", [*ANSWERS, Free(1, None, "")], ids=lambda frame: type(frame).__name__)
def test_answers_are_not_rationed(links: Links, run: Run, frame: AnyFrame) -> None:
    async def test(pair: Pair) -> None:
        await pair.say(*[frame] * 500)
        await pair.say(Ping(7))
        assert (await pair.hear(Pong)).id == 7

    scene(links, run, test, RATIONED)


def test_work_beside_the_session_ends_with_it(links: Links, run: Run) -> None:
    async def test(pair: Pair) -> None:
        state = []

        async def work() -> None:
            try:
                await trio.sleep_forever()
            finally:
                state.append("ended")

        await trio.testing.wait_all_tasks_blocked()
        pair.session.start(work)
        await trio.testing.wait_all_tasks_blocked()
        pair.session.end(Reason.LEAVING)
        await pair.over.wait()
        assert state == ["ended"]
        pair.session.start(work)
        await trio.sleep(0.1)
        assert state == ["ended"]

    scene(links, run, test)


def test_the_other_side_is_told_why(links: Links, run: Run) -> None:
    async def test(pair: Pair) -> None:
        pair.session.end(Reason.FLOOD)
        assert (await pair.hear(Bye)).reason == Reason.FLOOD

    scene(links, run, test)


def test_waiters_for_an_acknowledgement_go_on_when_the_peer_leaves(links: Links, run: Run) -> None:
    async def test(pair: Pair) -> None:
        token = pair.session.token()
        done = pair.session.acknowledged(token)
        await trio.aclose_forcefully(pair.far.stream)
        await done.wait()

    scene(links, run, test)
