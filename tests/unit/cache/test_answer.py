from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from p2pcache.cache.answer import Cached, Forwarded, RateLimited, coalesced, shareable, shown_rule
from p2pcache.cache.decide import Rule
from p2pcache.cache.entry import Block, Entry
from p2pcache.testing.conformance import make
from p2pcache.testing.direct import DirectResponse
from p2pcache.testing.judge import Verdict


def passed(status: int) -> Forwarded:
    response = DirectResponse(Verdict(status, {}, b""), lambda: None, broken=False)
    return Forwarded(response, b"", Rule.PROVE_OTHER, status)


@pytest.mark.parametrize("status", [200, 301, 304])
def test_who_may_read_may_know_why_github_was_asked(status: int) -> None:
    assert shown_rule(passed(status)) == Rule.PROVE_OTHER


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 410, 415, 429, 451, 500])
def test_who_is_refused_learns_nothing_of_what_others_were_given(status: int) -> None:
    assert shown_rule(passed(status)) == Rule.NOT_TOLD


def test_a_limit_is_told() -> None:
    assert shown_rule(RateLimited(403, (), b"", Rule.REFUSE_QUOTA)) == Rule.REFUSE_QUOTA


def cached(**changes: Any) -> Cached:
    entry = Entry(make(expires_at=1060.0).pointer, Block(200, (), b"{}"))
    return replace(Cached(entry, Rule.FETCH_COLD, None, 200, stored=True, pairs=(("date", "now"),)), **changes)


@pytest.mark.parametrize(
    ("answer", "came", "hit"),
    [
        pytest.param(cached(), 1059.0, "coalesced", id="fresh when the caller came"),
        pytest.param(cached(), 1061.0, None, id="too old already then"),
        pytest.param(cached(stale=True), 1061.0, "stale", id="served stale"),
    ],
)
def test_what_was_cached_for_another_caller(answer: Cached, came: float, hit: str | None) -> None:
    given = coalesced(answer, came)
    if hit is None:
        assert given is None
    else:
        assert given == replace(answer, hit=hit, forwarded=None, stored=False, pairs=())


def test_what_was_forwarded_to_another_caller() -> None:
    error = passed(404)
    assert shareable(error) is error
    assert coalesced(error, 0.0) == replace(error, shared=True)
    assert shareable(replace(error, body=None)) is None, "a stream has one reader"
    assert shareable(passed(304)) is None, "the conditions were another caller's"


def test_a_limit_is_everybodys() -> None:
    limited = RateLimited(403, (), b"", Rule.REFUSE_QUOTA)
    assert shareable(limited) is limited
    assert coalesced(limited, 0.0) is limited
