from __future__ import annotations

import pytest

from p2pcache.cache.answer import Forwarded, RateLimited, told
from p2pcache.cache.decide import Rule
from p2pcache.testing.direct import DirectResponse
from p2pcache.testing.judge import Verdict


def passed(status: int) -> Forwarded:
    response = DirectResponse(Verdict(status, {}, b""), lambda: None, broken=False)
    return Forwarded(response, b"", Rule.PROVE_OTHER, status)


@pytest.mark.parametrize("status", [200, 301, 304])
def test_who_may_read_may_know_why_github_was_asked(status: int) -> None:
    assert told(passed(status)) == Rule.PROVE_OTHER


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 410, 415, 429, 451, 500])
def test_who_is_refused_learns_nothing_of_what_others_were_given(status: int) -> None:
    assert told(passed(status)) == Rule.NOT_TOLD


def test_a_limit_is_told() -> None:
    assert told(RateLimited(403, (), b"", Rule.REFUSE_QUOTA)) == Rule.REFUSE_QUOTA
