"""Source, age, freshness, cost and quota, from an answer's header fields."""

from typing import Any

import pytest

from p2pcache.hub.mcp.provenance import provenance

LIMITS = {
    "x-ratelimit-limit": "5000",
    "x-ratelimit-remaining": "4990",
    "x-ratelimit-reset": "1790000000",
    "x-ratelimit-resource": "core",
}


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({"cache-status": "p2pcache; hit; ttl=42; detail=memory", "age": "18"}, ("memory", 18, 42, 0)),
        ({"cache-status": "p2pcache; hit; ttl=9; detail=peer", "age": "1"}, ("peer", 1, 9, 0)),
        ({"cache-status": "p2pcache; hit; detail=coalesced"}, ("coalesced", 0, 0, 0)),
        ({"cache-status": "p2pcache; hit; ttl=-30; detail=stale", "age": "90"}, ("stale", 90, 0, 0)),
        ({"cache-status": "p2pcache; hit; ttl=60; detail=revalidated", "age": "0"}, ("revalidated", 0, 60, 0)),
        (
            {"cache-status": "p2pcache; fwd=uri-miss; fwd-status=200; stored", "p2pcache-ttl": "60"},
            ("github", 0, 60, 1),
        ),
        ({"cache-status": "p2pcache; fwd=stale; fwd-status=304"}, ("github", 0, 0, 0)),
        ({"cache-status": "p2pcache; fwd=bypass; fwd-status=200"}, ("github", 0, 0, 1)),
        ({"cache-status": "p2pcache; detail=quota"}, ("node", 0, 0, 0)),
        ({"cache-status": "p2pcache; detail=control"}, ("node", 0, 0, 0)),
        ({}, ("github", 0, 0, 0)),
        ({"cache-status": "p2pcache; hit; ttl=9999999999999; detail=memory", "age": "x"}, ("memory", 0, 0, 0)),
    ],
)
def test_what_is_known_of_an_answer(headers: dict[str, str], known: tuple[Any, ...]) -> None:
    found = provenance(headers, "/repos/octo/app", authorised=True)
    assert (found["source"], found["age_s"], found["fresh_for_s"], found["charged"]) == known
    assert "quota" not in found


def test_a_304_without_a_token_is_charged() -> None:
    headers = {"cache-status": "p2pcache; hit; ttl=60; detail=revalidated", "age": "0"}
    assert provenance(headers, "/repos/octo/app", authorised=False)["charged"] == 1


def test_what_github_does_not_count_is_free() -> None:
    headers = {"cache-status": "p2pcache; fwd=bypass; fwd-status=200"}
    assert provenance(headers, "/rate_limit", authorised=True)["charged"] == 0


def test_the_quota_left() -> None:
    found = provenance(LIMITS, "/repos/octo/app", authorised=True)
    assert found["quota"] == {"resource": "core", "limit": 5000, "remaining": 4990, "reset": 1790000000}
