"""How long GitHub usually takes."""

from __future__ import annotations

import pytest

from p2pcache.cache.upstream_times import UpstreamTimes


def test_nothing_is_known_at_first() -> None:
    assert UpstreamTimes().usual("GET /user") is None


def test_an_operation_is_known_by_its_own_answers_else_by_all() -> None:
    times = UpstreamTimes()
    times.observe("GET /slow", 1.0)
    times.observe("GET /quick", 0.1)
    assert times.usual("GET /slow") == 1.0
    assert times.usual("GET /quick") == 0.1
    assert times.usual("GET /other") == pytest.approx(0.775)


def test_it_follows_a_change() -> None:
    times = UpstreamTimes()
    for seconds in (0.1, *[1.0] * 20):
        times.observe("GET /user", seconds)
    usual = times.usual("GET /user")
    assert usual is not None
    assert 0.9 < usual < 1.0
