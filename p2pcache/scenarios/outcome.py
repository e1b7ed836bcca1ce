"""What a scenario came to, and the figures that scenarios are compared by."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

import msgspec


class Result(enum.StrEnum):
    """What became of a scenario."""

    OK = "ok"
    FAILED = "failed"
    MISSING = "missing"


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Measured figures of one workload.

    Attributes:
        runners: the number of jobs.
        connected: those of them that had a peer.
        peers: connected peers, of each runner.
        requests: of all runners.
        charged: calls that the stand-in GitHub counted against the quota.
        not_modified: its free 304s.
        hit_rate: the share of requests that cost no charged call, from 0 to 1.
        median_ms, p95_ms: of the requests, in milliseconds.
    """

    runners: int
    connected: int
    peers: tuple[int, ...]
    requests: int
    charged: int
    not_modified: int
    hit_rate: float
    median_ms: float
    p95_ms: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one scenario.

    Attributes:
        name: as ``--only`` takes it.
        title: for people.
        status: ``missing`` means that it could not run here.
        reason: why it is not ``ok``, one sentence; empty if it is.
        figures: None where nothing was measured.
    """

    name: str
    title: str
    status: Result
    reason: str = ""
    figures: Figures | None = None


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that at least `share` of them do not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("a percentile of nothing")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def figures(*, peers: Sequence[int], milliseconds: Sequence[float], charged: int, not_modified: int) -> Figures:
    """Return the figures of a workload, from each runner's connected peers and each request's milliseconds."""
    requests = len(milliseconds)
    return Figures(
        runners=len(peers),
        connected=sum(number > 0 for number in peers),
        peers=tuple(peers),
        requests=requests,
        charged=charged,
        not_modified=not_modified,
        hit_rate=round(max(0.0, 1 - charged / requests), 4),
        median_ms=round(percentile(milliseconds, 0.5), 2),
        p95_ms=round(percentile(milliseconds, 0.95), 2),
    )
