"""Who may be at the door, by a clock that jumps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from p2pcache.swarm import Limits
from p2pcache.swarm.services.admission import Admission, Stranger, network
from tests.unit.swarm.conftest import Run

LIMITS = Limits(handshakes=4, handshakes_per_address=2, waiting=300, mute=0.25, stalled=0.7)


@asynccontextmanager
async def door(limits: Limits = LIMITS) -> AsyncIterator[Admission]:
    made = Admission(limits)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run)
        yield made
        nursery.cancel_scope.cancel()


def enter(it: Admission, host: str) -> Stranger:
    """A stranger that is let in or has to wait."""
    stranger = it.enter(host)
    assert stranger is not None
    return stranger


def inside(*strangers: Stranger) -> list[bool]:
    return [stranger.admitted.is_set() and not stranger.scope.cancel_called for stranger in strangers]


def test_there_are_so_many_places_and_so_many_for_each_address(run: Run) -> None:
    async def test() -> None:
        async with door() as it:
            one, two, three = (enter(it, "10.0.0.1") for _ in range(3))
            others = [enter(it, f"10.0.1.{number}") for number in range(3)]
            assert inside(one, two, three, *others) == [True, True, False, True, True, False]
            assert len(it) == 4
            one.leave()
            assert inside(three, others[2]) == [False, True]  # the last that came goes first
            two.leave()
            assert inside(three) == [True]

    run(test)


def test_the_longest_silent_one_gives_way(run: Run) -> None:
    async def test() -> None:
        async with door() as it:
            mute, talking = enter(it, "10.0.0.1"), enter(it, "10.0.0.1")
            await trio.sleep(0.2)
            talking.stirred()
            newcomer = enter(it, "10.0.0.1")
            assert inside(mute, talking, newcomer) == [True, True, False]  # it may still be about to say something
            with trio.fail_after(0.2):
                await newcomer.admitted.wait()
            assert inside(mute, talking, newcomer) == [False, True, True]
            mute.leave()
            assert len(it) == 2
            newcomer.stirred()
            another = enter(it, "10.0.0.1")
            await trio.sleep(0.4)
            assert inside(talking, newcomer, another) == [True, True, False]
            with trio.fail_after(0.3):
                await another.admitted.wait()
            assert inside(talking, newcomer, another) == [False, True, True]

    run(test)


def test_a_crowd_delays_who_comes_after_it_by_no_more_than_a_moment(run: Run) -> None:
    async def test() -> None:
        async with door() as it:
            crowd = [enter(it, f"10.0.{number % 8}.1") for number in range(250)]
            for stranger in crowd:
                stranger.stirred()
            member = enter(it, "10.0.0.1")
            with trio.fail_after(0.9):
                await member.admitted.wait()
            assert len(it) <= LIMITS.handshakes
            assert sum(inside(*crowd)) < LIMITS.handshakes

    run(test)


def test_who_waits_is_bounded_too(run: Run) -> None:
    async def test() -> None:
        async with door(Limits(handshakes=1, waiting=2)) as it:
            assert all(it.enter("10.0.0.1") for _ in range(3))
            assert it.enter("10.0.0.1") is None

    run(test)


def test_a_full_queue_of_one_address_keeps_nobody_of_another_from_a_free_place(run: Run) -> None:
    async def test() -> None:
        limits = Limits()
        async with door(limits) as it:
            crowd = [enter(it, "10.0.0.66") for _ in range(limits.handshakes_per_address + limits.waiting)]
            member = enter(it, "10.0.0.1")
            assert inside(member) == [True]
            assert not any(stranger.scope.cancel_called for stranger in crowd)

    run(test)


def test_the_address_with_the_most_that_wait_makes_room_for_the_others(run: Run) -> None:
    async def test() -> None:
        async with door(Limits(handshakes=1, waiting=3)) as it:
            first = enter(it, "10.0.0.66")
            few, oldest, newest = enter(it, "10.0.0.2"), enter(it, "10.0.0.66"), enter(it, "10.0.0.66")
            member = enter(it, "10.0.0.1")
            assert [each.scope.cancel_called for each in (first, few, oldest, newest)] == [False, False, True, False]
            assert it.enter("10.0.0.2") is None  # as many wait of its address as of any other
            oldest.leave()  # what its end at the host does
            first.leave()
            assert inside(few, newest, member) == [False, False, True]

    run(test)


def test_nobody_stays_for_ever_and_a_member_has_no_deadline(run: Run) -> None:
    async def test() -> None:
        async with door(Limits(handshakes=1)) as it:
            began = trio.current_time()
            member = enter(it, "10.0.0.1")
            member.leave()
            slow = enter(it, "10.0.0.1")
            assert slow.scope.deadline - began == 2 * LIMITS.handshake_timeout
            waiting = enter(it, "10.0.0.1")
            assert waiting.scope.deadline - began == LIMITS.handshake_timeout
            waiting.leave()
            with member.scope:
                await trio.sleep(60)
            assert not member.scope.cancelled_caught
            assert len(it) == 1

    run(test)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_what_one_host_can_call_itself_is_one_address(one: str, other: str, same: bool) -> None:
    assert (network(one) == network(other)) is same
