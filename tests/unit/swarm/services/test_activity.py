"""What a member does for the swarm is counted, and who joins and leaves is said, though not a thousand times."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import cast

import pytest

from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.swarm.services.activity import GIVEN, Activity
from p2pcache.swarm.services.session import Session


def session(number: int = 1, *, hub: bool = False, **counts: int) -> Session:
    figures = {"blocks_in": 0, "bytes_in": 0, "bytes_out": 0, **counts}
    made = SimpleNamespace(
        peer=f"12D3-{number}",
        member=SimpleNamespace(hub=hub),
        link=SimpleNamespace(address="/ip4/10.0.0.1/tcp/9000"),
        since=time.time(),
        **figures,
    )
    return cast("Session", made)


def test_counts_outlive_the_sessions_they_come_from() -> None:
    activity, one, other = Activity(), session(1, blocks_in=1, bytes_in=10), session(2, bytes_in=5, bytes_out=7)
    for each in (one, other):
        activity.on_join(each)
    activity.count(GIVEN)
    before = activity.totals([one, other])
    assert before == {"joined": 2, "blocks_given": 1, "blocks_in": 1, "bytes_in": 15, "bytes_out": 7}
    activity.on_leave(one, Ended(Reason.LEAVING))
    assert activity.totals([other]) == {**before, "left": 1}


def test_a_session_that_makes_way_for_another_is_none_that_left() -> None:
    activity = Activity()
    activity.on_leave(session(bytes_in=3), Ended(Reason.DUPLICATE))
    assert activity.totals([]) == {"blocks_in": 0, "bytes_in": 3, "bytes_out": 0}


def test_who_joined_and_left_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "p2pcache")
    activity = Activity()
    activity.on_join(session(7, hub=True))
    activity.on_leave(session(8), Ended(Reason.LEAVING, ours=False))
    joined, left = caplog.messages
    assert joined == "hub 12D3-7 joined from /ip4/10.0.0.1/tcp/9000"
    assert left == "member 12D3-8 left after 0 s: it left"


def test_a_fleet_that_comes_and_goes_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "p2pcache")
    now = [0.0]
    activity = Activity(lambda: now[0])
    for number in range(500):
        activity.on_join(session(number))
    assert len(caplog.messages) == 20
    now[0] = 1.5
    activity.on_join(session(500))
    assert caplog.messages[-1].endswith("(and 480 more joined or left)")
    assert activity.totals([])["joined"] == 501
