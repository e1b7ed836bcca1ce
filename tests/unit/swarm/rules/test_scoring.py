"""What a peer's behaviour is worth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2pcache.swarm.rules.scoring import EMPTY_PROMISES, FORGERIES, Budget, Score, TokenBucket


def test_an_unknown_peer_gets_the_whole_deadline() -> None:
    assert Score(0.25).deadline() == 0.25


@given(st.lists(st.floats(0.0001, 5.0), min_size=1, max_size=30))
def test_the_deadline_follows_latency_within_bounds(latencies: list[float]) -> None:
    score = Score(0.25)
    for latency in latencies:
        score.answered(latency)
    assert 0.2 <= score.deadline() <= 0.25


def test_a_slow_peer_rests_longer_each_time_until_it_answers() -> None:
    score = Score(0.25)
    score.timed_out(99.0, 98.0)
    assert score.usable(99.0), "once is no habit"
    score.timed_out(100.0, 99.0)
    assert not score.usable(100.4)
    assert score.usable(100.5)
    score.timed_out(101.0, 100.0)
    assert not score.usable(101.9)
    for _ in range(100):
        score.timed_out(200.0, 200.0)
    assert score.usable(230.0)
    assert score.reason
    score.answered(0.01)
    assert score.usable(0.0)
    assert not score.reason


def test_requests_that_are_late_together_are_one_lapse() -> None:
    score = Score(0.25)
    for number in range(64):
        score.timed_out(100.0 + number / 1000, 99.8)
    assert score.usable(100.1)
    score.timed_out(101.0, 100.8)
    assert not score.usable(101.1)


def test_empty_promises_are_forgiven_until_they_are_a_habit() -> None:
    score = Score(0.25)
    for _ in range(EMPTY_PROMISES - 1):
        score.missed(10.0)
    assert score.usable(10.0)
    score.missed(10.0)
    assert not score.usable(10.0)
    assert "does not have" in score.reason


def test_forgeries_add_up() -> None:
    score = Score(0.25)
    assert [score.forgery() for _ in range(FORGERIES)] == [False] * (FORGERIES - 1) + [True]


def test_a_bucket_allows_a_burst_then_a_rate() -> None:
    bucket = TokenBucket(rate=10.0, burst=100.0)
    assert bucket.take(100, 50.0)
    assert not bucket.take(1, 50.0)
    assert bucket.take(10, 51.0)
    assert not bucket.take(101, 1000.0)
    assert bucket.take(100, 1000.0)


def test_a_budget_is_never_exceeded() -> None:
    budget = Budget(100)
    assert budget.take(60)
    assert not budget.take(41)
    assert budget.take(40)
    budget.give(60)
    assert budget.take(60)
