"""What is off, from the statistics: sentences for annotations, the summary and the terminal, each with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from p2pcache.cache.decide import Rule
from p2pcache.ledger.stats import Stats
from p2pcache.runner.report_tables import own_bucket, utc
from p2pcache.wording import counted

MOST = 8
NEARLY_SPENT = 10
"""Percent of a quota's limit."""
NO_PEER = (
    "no peer was met, so nothing was shared with other jobs: run a hub for this host (p2pcache serve --hub), or on "
    "GitHub-hosted runners set persist: true"
)


@dataclass(frozen=True, slots=True)
class Concern:
    """One sentence; `serious`: a warning, else a notice."""

    sentence: str
    serious: bool = True


def concerns(stats: Stats, *, expects_peers: bool = False, restarts: int = 0) -> list[Concern]:
    """Return what is off, at most `MOST` of it.

    Args:
        stats: the ledger.
        expects_peers: peers are the only way by which this job could share.
        restarts: how often the supervisor has started the node again.
    """
    return list(_concerns(stats, expects_peers=expects_peers, restarts=restarts))[:MOST]


def _concerns(stats: Stats, *, expects_peers: bool, restarts: int) -> Iterator[Concern]:
    yield from _quota(stats)
    for reason in stats.node.degraded:
        yield Concern(f"the cache is degraded: {reason}")
    if expects_peers and stats.requests and not stats.peers.joined:
        yield Concern(NO_PEER, serious=False)
    if restarts:
        times = "once" if restarts == 1 else f"{restarts} times"
        yield Concern(f"the node ended {times} and was started again: its log in the job's temporary folder says why")
    if stats.etag_rule.state == "given up":
        yield Concern("GitHub's ETags do not follow the rule that free proofs rest on: lifetimes alone count", False)


def _quota(stats: Stats) -> Iterator[Concern]:
    refused = sum(stats.rules.get(rule, 0) for rule in (Rule.REFUSE_QUOTA, Rule.REFUSE_LIMIT))
    if refused:
        requests = counted(refused, "request was", "requests were")
        yield Concern(f"{requests} refused: the quota is spent, or GitHub asked this token to wait")
    bucket = own_bucket(stats)
    if bucket and 100 * bucket.remaining < NEARLY_SPENT * bucket.limit:
        reset = f" until {utc(bucket.reset)}" if utc(bucket.reset) else ""
        yield Concern(f"the quota is nearly spent: {bucket.remaining} of {counted(bucket.limit, 'call')} left{reset}")
