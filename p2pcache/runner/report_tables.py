"""What the report consists of, before it has a format: a headline and tables, from the statistics.

Pure functions over `Stats`. Cells may hold data of peers or of GitHub: each format escapes them for its destination.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from p2pcache.ledger.stats import QuotaStats, Stats
from p2pcache.wording import counted

MAX_ROWS = 20
"""Of a table: the report stays far below the 1 MiB limit of a step's summary."""
BAR_CELLS = 10
FULL, EMPTY = "█", "░"
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Table:
    """A table before formatting; `figures`: the columns after the first are numbers."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    figures: bool = True


def headline(stats: Stats) -> str:
    """Return the report in one line; the rate is over the cacheable calls, rounded down: "100 %" means all."""
    if not stats.requests:
        return "no API calls went through the cache"
    if not stats.cacheable:
        return f"{_calls(stats.requests)} went through the cache, none of a kind that can be saved"
    percent = 100 * stats.api_calls_saved // stats.cacheable
    rate = "< 1" if stats.api_calls_saved and not percent else str(percent)
    parts = [f"{stats.api_calls_saved} of {_calls(stats.cacheable)} saved ({rate} % hit rate)"]
    if stats.time_saved_ms:
        parts.append(f"{_duration(stats.time_saved_ms)} not waited")
    if bucket := own_bucket(stats):
        parts.append(f"quota left {bucket.remaining}/{bucket.limit}")
    return ", ".join(parts)


def own_bucket(stats: Stats) -> QuotaStats | None:
    """Return the bucket of the node's own token, or without a token the only known one."""
    core = [bucket for bucket in stats.quota if bucket.resource == "core" and bucket.limit]
    if stats.scope:
        return next((bucket for bucket in core if bucket.scope == stats.scope), None)
    return core[0] if len(core) == 1 else None


def tables(stats: Stats) -> Iterator[Table]:
    """Yield what a person looks at first: by tier, the busiest operations, programs led here, the quota, the peers."""
    answered = [(tier, n) for tier, n in stats.hits.items() if n]
    answered += [
        ("revalidated by a 304", stats.revalidated),
        ("GitHub", stats.misses),
        ("GitHub, not cacheable", stats.bypassed),
    ]
    tiers = [(name, str(n), f"{bar(n, stats.requests)} {100 * n / stats.requests:5.1f} %") for name, n in answered if n]
    yield Table("By tier", ("Answered by", "Requests", "Share"), _at_most(tiers))
    routes = [
        (route.route, str(route.requests), str(route.saved), bar(route.saved, route.requests)) for route in stats.routes
    ]
    yield Table("Busiest operations", ("Operation", "Requests", "Saved", "Share saved"), _at_most(routes))
    programs = sorted(stats.programs.items(), key=lambda item: (-item[1].requests, item[0]))
    yield Table(
        "Clients without a base URL",
        ("Program", "Requests", "Saved", "Share saved"),
        _at_most((name, str(p.requests), str(p.saved), bar(p.saved, p.requests)) for name, p in programs),
    )
    own = own_bucket(stats)
    buckets = sorted(stats.quota, key=lambda bucket: bucket is not own)
    yield Table("Quota", ("Bucket", "Left", "Limit", "Share left", "Reset"), _at_most(map(_quota, buckets)))
    yield _peers(stats)


def details(stats: Stats) -> Iterator[Table]:
    """Yield what explains the figures."""
    upstream = stats.upstream
    if upstream.calls:
        calls = [
            ("calls", upstream.calls),
            ("charged", upstream.charged),
            ("not modified (304)", upstream.not_modified),
        ]
        calls += [(f"status {status}", n) for status, n in sorted(upstream.by_status.items())]
        yield Table("Calls to GitHub", ("What", "Calls"), _at_most(_counts(calls)))
    yield Table("Decided by", ("Rule", "Requests"), _at_most(_counts(_ranked(stats.rules))))
    stores = [(s.name, "in use" if s.state == "closed" else s.why, str(s.calls)) for s in stats.stores]
    yield Table("Stores", ("Store", "State", "Calls"), _at_most(stores), figures=False)
    yield Table("Went wrong inside", ("What", "Times"), _at_most(_counts(_ranked(stats.errors))))


def facts(rows: Mapping[str, str]) -> Table:
    """Return a table of what was found when the job began, such as the network mode."""
    return Table("Network", ("Fact", "Value"), _at_most(rows.items()), figures=False)


def bar(part: int, whole: int, cells: int = BAR_CELLS) -> str:
    """Return `part` of `whole` as a bar; only all of it is a full one, and only nothing an empty one."""
    if whole <= 0 or part <= 0:
        return EMPTY * cells
    full = cells if part >= whole else min(max(round(cells * part / whole), 1), cells - 1)
    return FULL * full + EMPTY * (cells - full)


def utc(unix_seconds: int) -> str:
    """Return the time of day of a bucket's reset, "" where it is unknown or no time."""
    try:
        return time.strftime("%H:%M UTC", time.gmtime(unix_seconds)) if unix_seconds else ""
    except (OverflowError, OSError, ValueError):
        return ""


def _quota(bucket: QuotaStats) -> tuple[str, ...]:
    name = f"{bucket.scope}, {bucket.resource}"
    return name, str(bucket.remaining), str(bucket.limit), bar(bucket.remaining, bucket.limit), utc(bucket.reset)


def _peers(stats: Stats) -> Table:
    peers = stats.peers
    rows = [
        ("connected", str(peers.connected)),
        ("known", str(peers.known)),
        ("sessions since the start", str(peers.joined)),
        ("received", f"{counted(peers.blocks_in, 'answer')}, {_size(peers.bytes_in)}"),
        ("sent", f"{counted(peers.blocks_given, 'answer')}, {_size(peers.bytes_out)}"),
    ]
    met = peers.known or peers.joined or peers.bytes_in or peers.bytes_out
    return Table("Peers", ("What", "Count"), rows if met else ())


def _calls(n: int) -> str:
    return counted(n, "API call")


def _duration(ms: int) -> str:
    if ms < 1000:
        return f"{ms} ms"
    seconds = ms // 1000
    if seconds < 120:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 120:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _size(n: float) -> str:
    unit = 0
    while n >= 1000 and unit < len(_UNITS) - 1:
        n, unit = n / 1000, unit + 1
    return f"{n:.1f} {_UNITS[unit]}" if unit else f"{n:.0f} B"


def _ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _counts(items: Iterable[tuple[str, int]]) -> list[tuple[str, ...]]:
    return [(name, str(n)) for name, n in items]


def _at_most(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    shown = list(rows)
    if len(shown) > MAX_ROWS:
        more = f"… and {len(shown) - MAX_ROWS} more"
        shown[MAX_ROWS:] = [(more, *[""] * (len(shown[0]) - 1))]
    return shown
