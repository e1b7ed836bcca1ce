"""When a service is left alone, and when it is tried again."""

from __future__ import annotations

import pytest

from p2pcache.stores.breaker import Breaker


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def breaker(time: Time) -> Breaker:
    return Breaker(time, failures=3, first=2.0, longest=7.0)


def opened(breaker: Breaker) -> Breaker:
    for _ in range(3):
        assert breaker.allows()
        breaker.failed("it is away")
    return breaker


def test_a_service_that_answers_is_called(breaker: Breaker) -> None:
    for _ in range(10):
        assert breaker.allows()
        breaker.succeeded()
    assert (breaker.state, breaker.why, breaker.retry_after) == ("closed", "", 0.0)


def test_failures_in_a_row_open_it(breaker: Breaker) -> None:
    for number in range(3):
        assert breaker.allows()
        assert breaker.failed("it is away") == (number == 2)
    assert not breaker.allows()
    assert (breaker.state, breaker.why, breaker.retry_after) == ("open", "it is away", 2.0)


def test_a_success_between_failures_keeps_it_closed(breaker: Breaker) -> None:
    for _ in range(5):
        breaker.failed("it is away")
        breaker.failed("it is away")
        breaker.succeeded()
    assert breaker.state == "closed"


def test_one_call_tries_it(breaker: Breaker, time: Time) -> None:
    opened(breaker)
    time.now += 2.0
    assert breaker.state == "half-open"
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.succeeded()
    assert breaker.allows()
    assert breaker.allows()


def test_a_trial_that_fails_doubles_the_pause_up_to_a_bound(breaker: Breaker, time: Time) -> None:
    opened(breaker)
    for pause in (4.0, 7.0, 7.0):
        time.now += breaker.retry_after
        assert breaker.allows()
        assert not breaker.failed("it is away"), "it was open already"
        assert breaker.retry_after == pause


def test_a_trial_that_nobody_waited_for_leaves_room_for_another(breaker: Breaker, time: Time) -> None:
    opened(breaker)
    time.now += 2.0
    assert breaker.allows()
    breaker.undecided()
    assert breaker.allows()


def test_calls_that_began_before_it_opened_change_nothing(breaker: Breaker, time: Time) -> None:
    opened(breaker)
    time.now += 1.0
    assert not breaker.failed("late news")
    assert breaker.retry_after == 1.0


def test_what_will_not_pass_by_itself_opens_it_at_once(breaker: Breaker) -> None:
    assert breaker.failed("the key is wrong", lasting=True)
    assert breaker.retry_after == 7.0
