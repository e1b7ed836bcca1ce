from __future__ import annotations

import math

import pytest

from p2pcache.github import headers

PERSONAL = [
    "set-cookie",
    "x-oauth-scopes",
    "x-ratelimit-remaining",
    "etag",
    "date",
    "link",
    "x-github-request-id",
    "vary",
]


def test_what_is_kept_names_nobody_and_no_moment() -> None:
    assert not headers.KEPT & set(PERSONAL)
    assert not headers.KEPT & headers.HOP_BY_HOP
    assert all(name == name.lower() for name in headers.KEPT | headers.HOP_BY_HOP)
    assert {"content-type", "x-github-media-type", "location"} <= headers.KEPT


@pytest.mark.parametrize(
    ("connection", "left"),
    [
        pytest.param([], ["accept", "x-secret", "host"], id="no Connection"),
        pytest.param([b"close"], ["accept", "x-secret", "host"], id="no field"),
        pytest.param([b" X-Secret , keep-alive,, TE"], ["accept", "host"], id="tokens name fields"),
        pytest.param([b"x-secret", b"ACCEPT"], ["host"], id="two lines"),
        pytest.param([b"host"], ["accept", "x-secret", "host"], id="one that stays"),
    ],
)
def test_end_to_end(connection: list[bytes], left: list[str]) -> None:
    lines = [(name.encode(), b"1") for name in ("accept", "x-secret", "te", "upgrade", "host")]
    lines += [(b"connection", value) for value in connection]
    assert [name.decode() for name, _ in headers.end_to_end(lines, headers.FRAMING)] == left


@pytest.mark.parametrize(
    ("client", "agent"),
    [
        ("", "p2pcache/1.2"),
        ("GitHub CLI 2.23.0", "p2pcache/1.2 GitHub CLI 2.23.0"),
        ("curl/8.5.0", "p2pcache/1.2 CURL/8.5.0"),
        ("Mozilla/5.0 Safari/605 Firefox/1 Wget", "p2pcache/1.2 Mozilla/5.0 sAFARI/605 fIREFOX/1 wGET"),
    ],
)
def test_user_agent_gets_no_pretty_printing(client: str, agent: str) -> None:
    assert headers.upstream_user_agent("1.2", client) == agent
    assert not any(word in agent for word in ("curl", "Wget", "Safari", "Firefox"))


@pytest.mark.parametrize(
    ("content_type", "json"),
    [
        ("application/json", True),
        (" Application/JSON ; charset=utf-8", True),
        ("application/vnd.github.v3+json", True),
        ("application/vnd.github.object", True),
        ("application/vnd.github.raw+json; charset=utf-8", False),
        ("application/vnd.github.html+json", False),
        ("application/json-seq", False),
        ("text/plain; x=application/json", False),
        ("", False),
    ],
)
def test_githubs_json_by_its_media_type(content_type: str, json: bool) -> None:
    assert headers.is_json(content_type) is json


def test_fields_that_change_the_answer() -> None:
    sent = {
        "accept": "a",
        "x-requested-with": "XMLHttpRequest",
        "x-github-next-global-id": "1",
        "x-github-api-version": "2022-11-28",
        "graphql-features": "merge_queue",
        "x-other": "1",
    }
    assert headers.varying(sent) == (
        ("graphql-features", "merge_queue"),
        ("x-github-next-global-id", "1"),
        ("x-requested-with", "XMLHttpRequest"),
    )


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ({}, math.inf),
        ({"cache-control": "no-cache"}, 0),
        ({"cache-control": "max-stale=5, No-Cache"}, 0),
        ({"cache-control": "max-age=0"}, 0),
        ({"cache-control": 'max-age="30"'}, 30),
        ({"cache-control": "max-age = 30"}, 30),
        ({"cache-control": "max-age=soon"}, math.inf),
        ({"cache-control": "max-age=-1"}, math.inf),
        ({"cache-control": "no-cached"}, math.inf),
        ({"pragma": "no-cache"}, 0),
        ({"pragma": "no-cache", "cache-control": "max-age=9"}, 9),
    ],
)
def test_how_old_an_answer_the_caller_takes(sent: dict[str, str], seconds: float) -> None:
    assert headers.oldest(sent) == seconds


@pytest.mark.parametrize(
    ("said", "fresh"),
    [
        ({}, True),
        ({"cache-control": "private, max-age=60, s-maxage=60"}, True),
        ({"cache-control": "max-age=0"}, False),
        ({"cache-control": "max-age=60, s-maxage=0"}, False),
        ({"cache-control": "max-age=0, s-maxage=60"}, True),
        ({"cache-control": "No-Cache"}, False),
        ({"cache-control": 'no-cache="set-cookie"'}, False),
        ({"cache-control": "must-revalidate"}, True),
        ({"vary": "*"}, False),
        ({"vary": "Accept, *"}, False),
        ({"vary": "Accept, Authorization"}, True),
    ],
)
def test_what_may_be_served_again_unasked(said: dict[str, str], fresh: bool) -> None:
    assert headers.may_be_fresh(said) is fresh


def test_of_a_read_only_what_is_in_its_key_goes_to_github() -> None:
    sent = {"accept": "*/*", "authorization": "token x", "x-github-api-version": "2022-11-28", "graphql-features": "a"}
    other = {"user-agent": "gh", "x-forwarded-host": "evil.example", "forwarded": "host=x", "cache-control": "no-cache"}
    assert headers.forwarded({**sent, **other}) == sent
