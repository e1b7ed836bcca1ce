from __future__ import annotations

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
    ("fields", "added"),
    [
        pytest.param({}, set(), id="no Connection"),
        pytest.param({"connection": "close"}, {"close"}, id="one token"),
        pytest.param({"connection": " X-Secret , keep-alive,, TE"}, {"x-secret"}, id="tokens name fields"),
    ],
)
def test_hop_by_hop(fields: dict[str, str], added: set[str]) -> None:
    assert headers.hop_by_hop(fields) == headers.HOP_BY_HOP | added


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
