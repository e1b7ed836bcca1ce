"""The bound on calls of a service."""

from __future__ import annotations

from p2pcache.stores.call_budget import CallBudget


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_bounded_and_then_the_rate() -> None:
    time = Time()
    budget = CallBudget(60, time)
    assert [budget.take() for _ in range(17)] == [True] * 15 + [False] * 2
    time.now += 2.0
    assert [budget.take() for _ in range(3)] == [True, True, False]
    time.now += 3600.0
    assert [budget.take() for _ in range(17)].count(True) == 15


def test_writes_take_several_in_advance_and_wait_for_them() -> None:
    time = Time()
    budget = CallBudget(60, time)
    assert budget.reserve(15) == 0.0
    assert budget.reserve(3) == 3.0
    time.now += 3.0
    assert not budget.take()
    time.now += 1.0
    assert budget.take()
