"""One member's stream: a queue with a bound, a rate of requests, and how it ends."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from p2pcache.cache.entry import CID_PREFIX
from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.frames import (
    Ack,
    Acquire,
    AnyFrame,
    Bye,
    Free,
    Get,
    Grant,
    Have,
    Hello,
    Miss,
    Part,
    Ping,
    Pong,
    Queued,
    Release,
    encode,
)
from p2pcache.swarm.rules.reasons import Reason
from p2pcache.swarm.services.link import LinkError
from tests.unit.swarm.conftest import Links, Run
from tests.unit.swarm.session_lab import LIMITS, Pair, scene


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


def test_a_write_that_does_not_end_is_given_up(links: Links, run: Run) -> None:
    async def test(pair: Pair) -> None:
        pair.link.deaf = True
        began = trio.current_time()
        assert (await pair.end()).reason is Reason.DEAF
        assert trio.current_time() - began <= 1.0 + 0.5 + 0.1  # the farewell

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
