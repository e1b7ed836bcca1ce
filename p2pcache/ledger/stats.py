"""The ledger as others read it: the shape in which `/-/stats` and the stats file have it (docs/interface.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from p2pcache import backends

TIERS = ("memory", *(backend.detail for backend in backends.known()), "coalesced", "stale")
TIME_SAVED_HOW = (
    "how long GitHub took for each answer when it was fetched, less the conditional request if one was made"
)

Count = Annotated[int, msgspec.Meta(ge=0)]


class UpstreamStats(msgspec.Struct):
    """Calls to GitHub: all, those it counts against the primary limit, its 304s, and each status."""

    calls: Count = 0
    charged: Count = 0
    not_modified: Count = 0
    by_status: dict[str, Count] = {}


class QuotaStats(msgspec.Struct):
    """A token's bucket as GitHub last reported it; `reset` in Unix seconds, 0 when unknown."""

    scope: str
    resource: str
    limit: Count
    remaining: Count
    reset: Count


class PeerStats(msgspec.Struct):
    """The swarm as seen from here: `connected` and `known` now, all else since the node's first start.

    Attributes:
        connected, known: members with a session of their own; these and members behind a hub.
        joined, left: sessions that began and ended.
        blocks_in, bytes_in, bytes_out: blocks received, bytes of blocks received and sent.
        blocks_given: blocks sent to members that asked.
        blocks_relayed: those among them that had to be fetched from another member first.
        blocks_kept: on a hub, blocks of members stored for others.
        leases_granted: times a member was given the right to ask GitHub for all.
    """

    connected: Count = 0
    known: Count = 0
    bytes_in: Count = 0
    bytes_out: Count = 0
    blocks_in: Count = 0
    blocks_given: Count = 0
    blocks_relayed: Count = 0
    blocks_kept: Count = 0
    leases_granted: Count = 0
    joined: Count = 0
    left: Count = 0


class StoreStats(msgspec.Struct):
    """What is stored now; `disk_errors` since the node's start."""

    memory_entries: Count = 0
    memory_bytes: Count = 0
    disk_entries: Count = 0
    disk_bytes: Count = 0
    disk_errors: Count = 0


class About(msgspec.Struct):
    """The node itself.

    Its version, the API behind it, when it started (Unix seconds), for how long it runs, and what is wrong with it.
    """

    version: str = ""
    upstream: str = ""
    started_at: float = 0.0
    uptime_seconds: float = 0.0
    degraded: list[str] = []


class RouteStats(msgspec.Struct):
    """One operation: how often it was asked, and how often the answer cost no charged call."""

    route: str
    requests: Count = 0
    saved: Count = 0


class ProgramStats(msgspec.Struct):
    """Requests of one kind of program that was led here by name, and those of them that cost no charged call."""

    requests: Count = 0
    saved: Count = 0


class EtagRule(msgspec.Struct):
    """What is believed of the rule behind free proof: upstream's ``untested``, ``holds`` or ``given up``.

    `agreed` and `disagreed` count answers; `given_up` lists the operations for which it is not used now; `lists` is
    False once GitHub was seen not to honour several tags in one ``If-None-Match``.
    """

    state: str = "untested"
    agreed: Count = 0
    disagreed: Count = 0
    given_up: list[str] = []
    lists: bool = True


class ServiceStats(msgspec.Struct):
    """A store behind a service: the state of its circuit breaker, the latest failure, and counts.

    `calls` of the service; `refused`: bytes that were not what they should be; writes that are `waiting`, or `lost`.
    """

    name: str
    state: str = "closed"
    why: str = ""
    calls: Count = 0
    refused: Count = 0
    waiting: Count = 0
    lost: Count = 0


class Stats(msgspec.Struct):
    """The ledger as others read it.

    `requests == sum(hits) + revalidated + misses + bypassed`. An answer is *saved* when it came from the cache and
    cost no charged call: every hit, and every revalidation GitHub did not charge. A miss is never one, not even when
    it ended in an error that GitHub gives free of charge. `rules` counts requests by the rule that decided them, and
    `webhooks` deliveries by what came of them (see `Webhook`); `programs` counts the requests of clients that name no
    base URL, among all others, by the kind of program;
    `scope` is that of this node's own token in `quota` ("" when it has none).
    """

    requests: Count = 0
    hits: dict[str, Count] = {}
    revalidated: Count = 0
    bypassed: Count = 0
    misses: Count = 0
    upstream: UpstreamStats = msgspec.field(default_factory=UpstreamStats)
    hit_rate: float = 0.0
    api_calls_saved: Count = 0
    time_saved_ms: Count = 0
    time_saved_how: str = TIME_SAVED_HOW
    bytes_from_cache: Count = 0
    scope: str = ""
    quota: list[QuotaStats] = []
    peers: PeerStats = msgspec.field(default_factory=PeerStats)
    store: StoreStats = msgspec.field(default_factory=StoreStats)
    node: About = msgspec.field(default_factory=About)
    routes: list[RouteStats] = []
    errors: dict[str, Count] = {}
    rules: dict[str, Count] = {}
    webhooks: dict[str, Count] = {}
    programs: dict[str, ProgramStats] = {}
    etag_rule: EtagRule = msgspec.field(default_factory=EtagRule)
    stores: list[ServiceStats] = []

    @property
    def cacheable(self) -> int:
        """Requests that the cache could have answered."""
        return self.requests - self.bypassed


def read(stats: Mapping[str, Any]) -> Stats:
    """Return the typed form of what `Ledger.stats` gave, perhaps to another version of this program.

    Raises:
        ValueError: it is not a ledger; the sentence names the field.
    """
    try:
        return msgspec.convert(stats, Stats)
    except msgspec.ValidationError as error:
        raise ValueError(f"these are not statistics of a p2pcache node: {error}") from None
