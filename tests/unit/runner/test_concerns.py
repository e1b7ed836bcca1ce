"""What is reported as off, and that nothing is where all is well."""

import pytest

from p2pcache.ledger.stats import About, EtagRule, PeerStats, QuotaStats, Stats
from p2pcache.runner.concerns import MOST, NO_PEER, concerns

WELL = Stats(
    requests=9, misses=9, scope="actions:o/r", quota=[QuotaStats("actions:o/r", "core", 1000, 100, 0)],
    peers=PeerStats(joined=1),
)  # fmt: skip


def sentences(stats: Stats, *, expects_peers: bool = False, restarts: int = 0) -> list[str]:
    return [concern.sentence for concern in concerns(stats, expects_peers=expects_peers, restarts=restarts)]


def test_nothing_is_off_where_all_is_well() -> None:
    assert sentences(WELL, expects_peers=True) == []
    assert sentences(Stats(), expects_peers=True) == [], "nobody asked, so nobody missed anything"


@pytest.mark.parametrize(
    ("remaining", "limit", "reset", "expected"),
    [
        (99, 1000, 0, ["the quota is nearly spent: 99 of 1000 calls left"]),
        (0, 1000, 1_790_000_000, ["the quota is nearly spent: 0 of 1000 calls left until 14:13 UTC"]),
        (100, 1000, 0, []),
        (0, 0, 0, []),
    ],
)
def test_a_quota_that_is_nearly_spent(remaining: int, limit: int, reset: int, expected: list[str]) -> None:
    bucket = QuotaStats("actions:o/r", "core", limit, remaining, reset)
    assert sentences(Stats(requests=1, misses=1, scope="actions:o/r", quota=[bucket])) == expected


def test_the_quota_of_somebody_else_is_not_this_jobs() -> None:
    bucket = QuotaStats("actions:a/b", "core", 1000, 0, 0)
    assert sentences(Stats(requests=1, misses=1, scope="actions:o/r", quota=[bucket])) == []


def test_requests_that_were_refused_are_counted() -> None:
    rules = {"refused here: the quota is spent": 2, "refused here: GitHub asked this token to wait": 1, "fresh": 5}
    (sentence,) = sentences(Stats(requests=8, rules=rules))
    assert sentence.startswith("3 requests were refused")
    (sentence,) = sentences(Stats(requests=8, rules={"refused here: the quota is spent": 1}))
    assert sentence.startswith("1 request was refused")


def test_a_job_that_expected_peers_and_met_none() -> None:
    alone = Stats(requests=1, misses=1)
    assert [(concern.sentence, concern.serious) for concern in concerns(alone, expects_peers=True)] == [
        (NO_PEER, False)
    ]
    assert sentences(alone) == []


def test_what_the_node_reports_as_degraded() -> None:
    stats = Stats(node=About(degraded=["s3: a bucket: it is away", "no peer for 70 s"]))
    assert sentences(stats) == [
        "the cache is degraded: s3: a bucket: it is away",
        "the cache is degraded: no peer for 70 s",
    ]


@pytest.mark.parametrize(("restarts", "times"), [(1, "once"), (3, "3 times")])
def test_a_node_that_was_started_again(restarts: int, times: str) -> None:
    (sentence,) = sentences(WELL, restarts=restarts)
    assert sentence.startswith(f"the node ended {times} and was started again")


def test_a_rule_that_was_given_up_is_a_notice() -> None:
    (concern,) = concerns(Stats(etag_rule=EtagRule(state="given up")))
    assert "ETags" in concern.sentence
    assert not concern.serious


def test_a_hundred_reasons_are_not_a_hundred_annotations() -> None:
    assert len(concerns(Stats(node=About(degraded=["x"] * 100)))) == MOST
