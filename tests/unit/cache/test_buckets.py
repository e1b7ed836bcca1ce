from __future__ import annotations

import json

import pytest

from p2pcache.cache import buckets as module
from p2pcache.cache.buckets import Buckets
from p2pcache.github.quota import Advice, Bucket
from p2pcache.testing.nodes import Clock

NOW = 1_700_000_000
SCOPE = "token:1"


@pytest.fixture
def clock() -> Clock:
    return Clock(float(NOW))


def left(remaining: int, *, reset: int = NOW + 3600, limit: int = 1000, resource: str = "core") -> dict[str, str]:
    values = {"limit": limit, "remaining": remaining, "reset": reset, "resource": resource}
    return {f"x-ratelimit-{name}": str(value) for name, value in values.items()}


def test_an_answer_tells_what_is_left(clock: Clock) -> None:
    news: list[tuple[str, Bucket]] = []
    known = Buckets(clock, lambda scope, bucket: news.append((scope, bucket)))
    known.observe(SCOPE, left(7))
    known.observe(SCOPE, left(8))  # overtaken
    known.observe(SCOPE, {})
    assert known.get(SCOPE, "core") == Bucket("core", 1000, 7, NOW + 3600)
    assert news == list(known) == [(SCOPE, Bucket("core", 1000, 7, NOW + 3600))]
    assert known.get("token:2", "core") is None
    assert known.advice(SCOPE, "core").serve_stale
    assert known.advice(SCOPE, "search") == Advice()


def test_a_window_that_is_over_says_nothing(clock: Clock) -> None:
    known = Buckets(clock)
    known.observe(SCOPE, left(0, reset=NOW + 10))
    assert known.advice(SCOPE, "core").refuse
    clock.sleep(10)
    assert known.get(SCOPE, "core") is None
    assert known.lines(SCOPE, "core") == b""
    assert not known.advice(SCOPE, "core").refuse


def test_a_hit_carries_the_newest_knowledge(clock: Clock) -> None:
    known = Buckets(clock)
    assert known.lines(SCOPE, "core") == b""
    known.observe(SCOPE, left(990))
    assert known.lines(SCOPE, "core").decode().split("\r\n") == [
        "x-ratelimit-limit: 1000",
        "x-ratelimit-remaining: 990",
        f"x-ratelimit-reset: {NOW + 3600}",
        "x-ratelimit-used: 10",
        "x-ratelimit-resource: core",
        "",
    ]


@pytest.mark.parametrize(
    "bucket",
    [
        pytest.param(Bucket("core", 1000, 0, NOW + 10**9), id="a reset in another century"),
        pytest.param(Bucket("core", 1000, 0, NOW + 3661), id="a reset further than a window away"),
        pytest.param(Bucket("search", 30, 0, NOW + 121), id="a reset further than a short window away"),
        pytest.param(Bucket("core", 1000, 0, NOW), id="a window that is over"),
        pytest.param(Bucket("core", 1000, 1001, NOW + 60), id="more left than there was"),
        pytest.param(Bucket("core", 1000, -1, NOW + 60), id="less than nothing left"),
        pytest.param(Bucket("core", 0, 0, NOW + 60), id="no limit"),
        pytest.param(Bucket("core\r\nset-cookie: x", 1000, 0, NOW + 60), id="a name that ends its line"),
        pytest.param(Bucket("", 1000, 0, NOW + 60), id="no name"),
    ],
)
def test_nonsense_is_not_believed_whoever_says_it(clock: Clock, bucket: Bucket) -> None:
    known = Buckets(clock)
    assert not known.learn(SCOPE, bucket)
    fields = {"limit": bucket.limit, "remaining": bucket.remaining, "reset": bucket.reset, "resource": bucket.resource}
    known.observe(SCOPE, {f"x-ratelimit-{name}": str(value) for name, value in fields.items()})
    assert list(known) == []


def test_a_members_word_makes_sparing_and_no_more(clock: Clock) -> None:
    known = Buckets(clock)
    assert known.learn(SCOPE, Bucket("core", 1000, 0, NOW + 3600))
    assert not known.learn(SCOPE, Bucket("core", 1000, 0, NOW + 3600))
    assert known.advice(SCOPE, "core") == Advice(stretch=10.0)
    assert known.get(SCOPE, "core") is None
    assert known.lines(SCOPE, "core") == b""
    known.observe(SCOPE, left(0))
    assert known.advice(SCOPE, "core").refuse


def test_what_github_told_this_node_is_not_talked_away(clock: Clock) -> None:
    known = Buckets(clock)
    known.observe(SCOPE, left(0, reset=NOW + 600))
    known.learn(SCOPE, Bucket("core", 1000, 1000, NOW + 3600))
    assert known.advice(SCOPE, "core").refuse
    known.observe(SCOPE, left(500, reset=NOW + 3500))
    assert known.get(SCOPE, "core") == Bucket("core", 1000, 500, NOW + 3500)


def test_a_members_word_is_shown_while_something_is_left(clock: Clock) -> None:
    known = Buckets(clock)
    assert known.learn(SCOPE, Bucket("core", 1000, 5, NOW + 60))
    assert b"remaining: 5" in known.lines(SCOPE, "core")
    known.observe(SCOPE, left(4, reset=NOW + 60))
    assert b"remaining: 4" in known.lines(SCOPE, "core")
    known.learn(SCOPE, Bucket("core", 1000, 0, NOW + 60))
    assert b"remaining: 4" in known.lines(SCOPE, "core")
    assert list(known) == [(SCOPE, Bucket("core", 1000, 0, NOW + 60))]


def test_a_clock_that_is_set_back_leaves_nothing_in_the_way(clock: Clock) -> None:
    known = Buckets(clock)
    known.observe(SCOPE, left(0))
    clock.sleep(-7200)
    known.observe(SCOPE, left(700, reset=NOW - 7200 + 1800))
    assert known.get(SCOPE, "core") == Bucket("core", 1000, 700, NOW - 7200 + 1800)


def secondary(**headers: str) -> tuple[int, dict[str, str], bytes]:
    return 403, headers, json.dumps({"message": "You have exceeded a secondary rate limit."}).encode()


def test_who_is_told_to_wait_waits(clock: Clock) -> None:
    known = Buckets(clock)
    assert known.refused(SCOPE, *secondary(**{"retry-after": "30"}))
    assert known.wait_until(SCOPE) == NOW + 30
    assert known.wait_until("token:2") is None
    assert known.refused(SCOPE, *secondary(**{"retry-after": "10"}))
    assert known.wait_until(SCOPE) == NOW + 30
    clock.sleep(30)
    assert known.wait_until(SCOPE) is None


def test_the_primary_limit_is_that_of_one_resource(clock: Clock) -> None:
    known = Buckets(clock)
    spent = left(0, reset=NOW + 30, resource="search", limit=30)
    known.observe(SCOPE, spent)
    assert known.refused(SCOPE, 403, spent, b"")
    assert known.wait_until(SCOPE) is None
    assert known.advice(SCOPE, "search").refuse
    assert not known.advice(SCOPE, "core").refuse


def test_other_refusals_are_no_limit(clock: Clock) -> None:
    assert not Buckets(clock).refused(SCOPE, 403, {}, b'{"message": "Resource not accessible by integration"}')


def test_what_is_known_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BUCKETS", 3)
    known = Buckets(clock)
    for number in range(5):
        known.observe(f"token:{number}", left(number))
        known.refused(f"token:{number}", *secondary())
    assert [scope for scope, _ in known] == ["token:2", "token:3", "token:4"]
    assert known.lines("token:0", "core") == b""
    assert known.wait_until("token:1") is None
    assert known.wait_until("token:2") is not None
