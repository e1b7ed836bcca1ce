"""Waiting before the next dial."""

from __future__ import annotations

from p2pcache.swarm.rules.backoff import Backoff


def test_delays_grow_to_the_ceiling_and_stay_there() -> None:
    backoff = Backoff(first=0.1, ceiling=4.0)
    delays = [backoff.failed() for _ in range(10_000)]
    assert 0.05 <= delays[0] <= 0.1
    assert max(delays) <= 4.0
    assert min(delays[20:]) >= 2.0


def test_five_seconds_bring_several_dials() -> None:
    backoff = Backoff()
    spent, dials = 0.0, 0
    while spent < 5.0:
        spent += backoff.failed()
        dials += 1
    assert dials >= 5


def test_success_begins_again() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.failed()
    backoff.succeeded()
    assert backoff.failed() <= backoff.first


def test_a_fleet_does_not_dial_in_step() -> None:
    assert len({Backoff(first=1.0).failed() for _ in range(20)}) > 15
