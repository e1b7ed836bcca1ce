"""What ``p2pcache get`` says of an answer, in words for its reader."""

from collections.abc import Mapping
from types import MappingProxyType

import pytest

from p2pcache.cache.decide import Rule
from p2pcache.commands.explain import explanation, refusal


def told(
    rule: str | Rule,
    cache_status: str,
    with_token: bool = True,
    path: str = "/user",
    fields: Mapping[str, str] = MappingProxyType({}),
) -> str:
    headers = {"p2pcache-rule": rule, "cache-status": f"p2pcache; {cache_status}", **fields}
    return explanation(path, 200, headers, 12.34, with_token=with_token)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            told(Rule.FRESH, "hit; ttl=48; detail=memory", fields={"age": "12"}),
            ["from this node's memory", "12 s ago", "48 s more"],
        ),
        (told(Rule.FRESH, "hit; ttl=48; detail=peer", fields={"age": "12"}), ["from a peer"]),
        (told(Rule.FRESH, "hit; ttl=48; detail=disk", fields={"age": "12"}), ["from this node's disk"]),
        (told(Rule.FETCH_COLD, "fwd=uri-miss; fwd-status=200; stored"), ["from GitHub", "nor a peer", "one call"]),
        (
            told(Rule.PROVE_OTHER, "hit; ttl=60; detail=revalidated", fields={"age": "0"}),
            ["another token", "may read exactly this", "no quota"],
        ),
        (told(Rule.PROVE_OWN, "hit; ttl=60; detail=revalidated", with_token=False), ["still current", "one call"]),
        (told(Rule.PROVE_OWN, "fwd=stale; fwd-status=200; stored"), ["something newer", "one call"]),
        (told(Rule.STALE_FOR_ERROR, "hit; ttl=-3; detail=stale"), ["past its lifetime", "GitHub cannot answer"]),
        (told(Rule.REFUSE_QUOTA, "detail=quota"), ["in GitHub's place", "quota is spent"]),
        (told("", "fwd=bypass; fwd-status=200"), ["from GitHub", "not kept", "one call"]),
        (told("", "fwd=bypass; fwd-status=200", path="/rate_limit"), ["not kept", "this cost no quota"]),
        (told("", "fwd=bypass; fwd-status=401"), ["from GitHub", "this cost no quota"]),
        (told("", "fwd=bypass; fwd-status=401", with_token=False), ["from GitHub", "one call"]),
    ],
)
def test_who_answered_why_and_at_what_cost(said: str, expected: list[str]) -> None:
    for part in expected:
        assert part in said


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize(
    "cache_status", ["hit; ttl=1; detail=revalidated", "detail=quota", "fwd=stale; fwd-status=200"]
)
def test_who_has_no_token_is_not_told_of_one(rule: Rule, cache_status: str) -> None:
    said = told(rule, cache_status, with_token=False)
    assert not any(words in said for words in ("yours", "this token", "another token or client"))


@pytest.mark.parametrize("rule", Rule)
def test_every_rule_has_words(rule: Rule) -> None:
    hit, fetched = told(rule, "hit; ttl=1; detail=memory"), told(rule, "fwd=stale; fwd-status=200")
    assert max(len(hit.splitlines()), len(fetched.splitlines())) > 2
    assert rule.value not in hit + fetched, "a name for programs"


def test_each_peer_has_a_line() -> None:
    said = told(
        Rule.FRESH,
        "hit; ttl=9; detail=peer",
        fields={"p2pcache-peers": "peer DKgq1Ab2 gave it in 12 ms; peer 9xY2kLmN was not asked: it was not needed"},
    )
    assert "\n  peer DKgq1Ab2 gave it in 12 ms\n  peer 9xY2kLmN was not asked" in said


def test_a_refusal_names_what_was_refused() -> None:
    assert refusal(404, "Not Found", "/repos/o/r", with_token=True) == "404 Not Found for /repos/o/r"


@pytest.mark.parametrize(("status", "hinted"), [(404, True), (401, True), (500, False)])
def test_without_a_token_the_way_to_one_is_hinted_at(status: int, hinted: bool) -> None:
    assert ("gh auth token" in refusal(status, "No", "/x", with_token=False)) is hinted
