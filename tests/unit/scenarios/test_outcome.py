"""Percentiles and shares."""

from __future__ import annotations

import random

import pytest

from p2pcache.scenarios.outcome import figures, percentile


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7.0], 0.5, 7.0),
        ([7.0], 0.95, 7.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([1.0, 2.0], 0.51, 2.0),
        ([float(n) for n in range(1, 101)], 0.5, 50.0),
        ([float(n) for n in range(1, 101)], 0.95, 95.0),
        ([float(n) for n in range(1, 101)], 1.0, 100.0),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(values: list[float], share: float, expected: float) -> None:
    random.Random(3).shuffle(values)
    assert percentile(values, share) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError):
        percentile([], 0.5)


def test_figures_of_a_workload() -> None:
    found = figures(peers=[2, 0, 3], milliseconds=[1.0] * 6 + [100.0] * 3, charged=3, not_modified=2)
    assert (found.runners, found.connected, found.peers) == (3, 2, (2, 0, 3))
    assert (found.requests, found.charged, found.not_modified) == (9, 3, 2)
    assert found.hit_rate == 0.6667
    assert (found.median_ms, found.p95_ms) == (1.0, 100.0)


def test_calls_beside_the_requests_make_no_rate_below_zero() -> None:
    assert figures(peers=[0], milliseconds=[1.0], charged=2, not_modified=0).hit_rate == 0
