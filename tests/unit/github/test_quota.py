from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.github import quota
from p2pcache.github.quota import Advice, Bucket

NOW = 1_700_000_000


def fields(**values: object) -> dict[str, str]:
    return {f"x-ratelimit-{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (fields(limit=1000, remaining=7, reset=NOW, resource="search"), Bucket("search", 1000, 7, NOW)),
        (fields(limit=1000, remaining=7, reset=NOW), Bucket("core", 1000, 7, NOW)),
        ({}, None),
        (fields(limit=1000, remaining=7), None),
        (fields(limit="x", remaining=7, reset=NOW), None),
        (fields(limit=0, remaining=0, reset=NOW), None),
        (fields(limit=1, remaining=-1, reset=NOW), None),
        (fields(limit=1, remaining=1, reset=-1), None),
    ],
)
def test_from_headers(headers: dict[str, str], expected: Bucket | None) -> None:
    assert quota.from_headers(headers) == expected


def bucket(remaining: int, reset: int = NOW + 3600, limit: int = 1000, resource: str = "core") -> Bucket:
    return Bucket(resource, limit, remaining, reset)


@pytest.mark.parametrize(
    ("old", "new", "wins"),
    [
        pytest.param(None, bucket(5), "new", id="the first"),
        pytest.param(bucket(5), bucket(900, NOW + 7200), "new", id="a later window"),
        pytest.param(bucket(900, NOW + 7200), bucket(5), "old", id="an overtaken window"),
        pytest.param(bucket(5), bucket(4), "new", id="lower in one window"),
        pytest.param(bucket(4), bucket(5), "old", id="an overtaken answer"),
    ],
)
def test_merge(old: Bucket | None, new: Bucket, wins: str) -> None:
    assert quota.merge(old, new) is (new if wins == "new" else old)


BUCKETS = st.builds(bucket, st.integers(0, 1000), st.integers(NOW, NOW + 3))


@given(st.lists(BUCKETS, min_size=1), st.randoms())
def test_the_order_of_answers_does_not_matter(seen: list[Bucket], random: Random) -> None:
    def last(answers: list[Bucket]) -> Bucket | None:
        known = None
        for answer in answers:
            known = quota.merge(known, answer)
        return known

    shuffled = list(seen)
    random.shuffle(shuffled)
    assert last(seen) == last(shuffled)


@pytest.mark.parametrize(
    ("status", "authorised", "path", "expected"),
    [
        (200, True, "/user", True),
        (304, True, "/user", False),
        (304, False, "/meta", True),
        (404, True, "/user", True),
        (403, False, "/meta", True),
        (401, True, "/user", False),
        (401, False, "/user", True),
        (200, True, "/rate_limit", False),
        (200, False, "/rate_limit", False),
        (200, True, "/repos/o/r/contents/rate_limit", True),
    ],
)
def test_charged(status: int, authorised: bool, path: str, expected: bool) -> None:
    assert quota.charged(status, authorised, path) is expected


@pytest.mark.parametrize(
    ("known", "advice"),
    [
        pytest.param(None, Advice(), id="nothing known"),
        pytest.param(bucket(1000), Advice(), id="full"),
        pytest.param(bucket(500), Advice(), id="half"),
        pytest.param(bucket(250), Advice(2.0), id="a quarter"),
        pytest.param(bucket(100), Advice(5.0), id="a tenth"),
        pytest.param(bucket(99), Advice(500 / 99, serve_stale=True), id="scarce"),
        pytest.param(bucket(1), Advice(10.0, serve_stale=True), id="the last"),
        pytest.param(bucket(0), Advice(10.0, serve_stale=True, refuse=True), id="spent"),
        pytest.param(bucket(250, NOW + 900), Advice(), id="on pace"),
        pytest.param(bucket(250, NOW + 901), Advice(2.0), id="just behind pace"),
        pytest.param(bucket(10, NOW + 30), Advice(), id="little left, and little to come"),
        pytest.param(bucket(0, NOW), Advice(), id="spent, but the window is over"),
        pytest.param(bucket(5, NOW + 60, 30, "search"), Advice(3.0), id="search has a window of a minute"),
    ],
)
def test_advise(known: Bucket | None, advice: Advice) -> None:
    got = quota.advise(known, NOW)
    assert got.stretch == pytest.approx(advice.stretch)
    assert (got.serve_stale, got.refuse) == (advice.serve_stale, advice.refuse)


@given(st.integers(1, 5000), st.integers(0, 5000), st.integers(-10, 4000))
def test_the_less_is_left_the_more_careful(limit: int, remaining: int, ahead: int) -> None:
    less, more = (quota.advise(bucket(n, NOW + ahead, limit), NOW) for n in (remaining, remaining + 1))
    assert less.stretch >= more.stretch >= 1
    assert less.serve_stale >= more.serve_stale
    assert less.refuse == (remaining == 0 and ahead > 0)


PRIMARY = fields(limit=1000, remaining=0, reset=NOW + 100)


def said(message: str, **more: str) -> bytes:
    return json.dumps({"message": message, **more}).encode()


SECONDARY = said("You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")


@pytest.mark.parametrize(
    ("status", "headers", "body", "wait"),
    [
        pytest.param(200, {}, b"{}", None, id="no refusal"),
        pytest.param(403, {}, said("Resource not accessible by integration"), None, id="forbidden"),
        pytest.param(403, {}, b"not JSON", None, id="forbidden by something else"),
        pytest.param(403, {}, b"[" * 100_000, None, id="hostile nesting"),
        pytest.param(404, PRIMARY, b"{}", None, id="not found with the last call"),
        pytest.param(403, PRIMARY, b"{}", 100, id="primary"),
        pytest.param(429, PRIMARY, b"", 100, id="primary, as 429"),
        pytest.param(429, {}, b"", 60, id="too many, for an unknown time"),
        pytest.param(403, {"retry-after": "30"}, SECONDARY, 30, id="retry-after"),
        pytest.param(403, {"retry-after": "30", **PRIMARY}, b"", 30, id="retry-after goes first"),
        pytest.param(403, {"retry-after": "9" * 50}, b"", quota.MAX_WAIT, id="an endless retry-after"),
        pytest.param(429, {"retry-after": "soon"}, b"", 60, id="an odd retry-after"),
        pytest.param(403, fields(limit=1000, remaining=7, reset=NOW + 9), SECONDARY, 60, id="secondary"),
        pytest.param(403, {}, said("You have triggered an abuse detection mechanism."), 60, id="abuse"),
        pytest.param(
            403, {}, said("", documentation_url="https://x/#secondary-rate-limits"), 60, id="by documentation"
        ),
        pytest.param(403, fields(limit=1, remaining=0, reset=NOW - 5), b"", 1, id="reset behind our clock"),
        pytest.param(403, fields(limit=1, remaining=0, reset=NOW * 2), b"", quota.MAX_WAIT, id="reset beyond belief"),
        pytest.param(200, PRIMARY, b'{"errors":[{"type":"RATE_LIMITED","message":"x"}]}', 100, id="GraphQL, primary"),
        pytest.param(200, {}, b'{"data":null,"errors":[{"type":"RATE_LIMIT"}]}', 60, id="GraphQL, older type"),
        pytest.param(
            200,
            {},
            b'{"errors":[{"message":"You have exceeded a secondary rate limit. Please wait."}]}',
            60,
            id="GraphQL, secondary",
        ),
        pytest.param(
            200,
            PRIMARY,
            b'{"errors":[{"type":"NOT_FOUND","message":"You have exceeded a secondary rate limit"}]}',
            None,
            id="GraphQL, an error of another type",
        ),
        pytest.param(
            200,
            PRIMARY,
            b'{"errors":[{"message":"Could not resolve to a User with the login of a secondary rate limit"}]}',
            None,
            id="GraphQL, an error that repeats what was asked",
        ),
        pytest.param(200, {}, SECONDARY, 60, id="GraphQL, secondary as a message"),
        pytest.param(200, PRIMARY, b'{"data":{"title":"RATE_LIMITED"}}', None, id="GraphQL, the words in data"),
        pytest.param(
            200, PRIMARY, b'{"errors":[{"type":"NOT_FOUND","message":"rate"}]}', None, id="GraphQL, another error"
        ),
        pytest.param(200, {}, b"rate", None, id="GraphQL, not JSON"),
    ],
)
def test_blocked_until(status: int, headers: dict[str, str], body: bytes, wait: float | None) -> None:
    until = quota.blocked_until(status, headers, body, NOW)
    assert until == (None if wait is None else NOW + wait)


@given(st.integers(100, 599), st.dictionaries(st.sampled_from(["retry-after", *PRIMARY]), st.text()), st.binary())
def test_any_answer_is_judged(status: int, headers: dict[str, str], body: bytes) -> None:
    until = quota.blocked_until(status, headers, body, NOW)
    assert until is None or NOW <= until <= NOW + quota.MAX_WAIT


def test_refusal_is_what_clients_know_from_github() -> None:
    status, headers, body = quota.refusal(bucket(0, NOW + 90, resource="search"), NOW)
    assert status == 403
    answer = json.loads(body)
    assert answer["message"].startswith("API rate limit exceeded")
    assert answer["documentation_url"].startswith("https://docs.github.com/")
    expected = fields(limit=1000, remaining=0, used=1000, reset=NOW + 90, resource="search")
    assert dict(headers) == {"content-type": "application/json; charset=utf-8", **expected}
    assert quota.blocked_until(status, dict(headers), body, NOW) == NOW + 90


def test_refusal_never_sends_a_client_into_the_past() -> None:
    _, headers, _ = quota.refusal(bucket(0, NOW - 10), NOW + 0.5)
    assert dict(headers)["x-ratelimit-reset"] == str(NOW + 1)


def test_a_refusal_to_ask_again_too_soon_is_what_clients_know_from_github() -> None:
    status, headers, body = quota.wait_refusal(NOW + 90, NOW + 0.5)
    assert status == 403
    assert dict(headers) == {"content-type": "application/json; charset=utf-8", "retry-after": "90"}
    answer = json.loads(body)
    assert "secondary rate limit" in answer["message"]
    assert answer["documentation_url"].startswith("https://docs.github.com/")
    assert answer["documentation_url"].endswith("secondary-rate-limits")
    assert quota.blocked_until(status, dict(headers), body, NOW) == NOW + 90


def test_a_refusal_whose_time_is_over_still_asks_for_a_second() -> None:
    _, headers, _ = quota.wait_refusal(NOW, NOW + 5)
    assert dict(headers)["retry-after"] == "1"
