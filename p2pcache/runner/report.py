"""The report: one line first, then by tier, then the busiest operations, then the details.

Pure functions over the statistics (docs/interface.md#the-ledger). The terminal and the job summary show the same
tables in different formats. Cells may hold data of peers or of GitHub, so each is escaped for its destination.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from p2pcache.ledger.stats import QuotaStats, Stats, read

MAX_ROWS = 20
MAX_CELL = 120
"""Rows and characters: the report stays far below the 1 MiB limit of a step's summary."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table before formatting; `figures`: the columns after the first are numbers."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    figures: bool = True


def headline(stats: Mapping[str, Any]) -> str:
    """Return the report in one line, e.g. "812 of 978 API calls saved (83 % hit rate), 41 s not waited, …".

    The rate is over the cacheable calls, rounded down: "100 %" means all.

    Raises:
        ValueError: `stats` is not a ledger (also by `text` and `markdown`).
    """
    return _headline(read(stats))


def text(stats: Mapping[str, Any]) -> str:
    """Return the report for a terminal, free of control characters and workflow commands."""
    ledger = read(stats)
    parts = [_headline(ledger)]
    parts += [_as_text(table) for table in (*_tables(ledger), *_details(ledger)) if table.rows]
    if ledger.time_saved_ms:
        parts.append(f"Time not waited: {plain(ledger.time_saved_how)}.")
    return "\n\n".join(parts)


def markdown(stats: Mapping[str, Any], facts: Mapping[str, str] | None = None) -> str:
    """Return the report for `GITHUB_STEP_SUMMARY`, below 1 MiB; `facts` are rows such as the network mode."""
    ledger = read(stats)
    tiers, routes = _tables(ledger)
    network = Table("Network", ("Fact", "Value"), _at_most((facts or {}).items()), figures=False)
    parts = [f"### p2pcache: {_headline(ledger)}", _as_markdown(tiers), _pie(tiers), _as_markdown(routes)]
    details = [_as_markdown(table) for table in (network, *_details(ledger))]
    if ledger.time_saved_ms:
        details.append(f"Time not waited: {escaped(ledger.time_saved_how)}.")
    if any(details):
        parts += ["<details><summary>Details</summary>", *details, "</details>"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _headline(stats: Stats) -> str:
    if not stats.requests:
        return "no API calls went through the cache"
    if not stats.cacheable:
        return f"{_calls(stats.requests)} went through the cache, none of a kind that can be saved"
    percent = 100 * stats.api_calls_saved // stats.cacheable
    rate = "< 1" if stats.api_calls_saved and not percent else str(percent)
    parts = [f"{stats.api_calls_saved} of {_calls(stats.cacheable)} saved ({rate} % hit rate)"]
    if stats.time_saved_ms:
        parts.append(f"{_duration(stats.time_saved_ms)} not waited")
    if bucket := _own_bucket(stats):
        parts.append(f"quota left {bucket.remaining}/{bucket.limit}")
    return ", ".join(parts)


def _calls(n: int) -> str:
    return "1 API call" if n == 1 else f"{n} API calls"


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


def _own_bucket(stats: Stats) -> QuotaStats | None:
    """Return the bucket of the node's own token, or without a token the only known one."""
    core = [bucket for bucket in stats.quota if bucket.resource == "core" and bucket.limit]
    if stats.scope:
        return next((bucket for bucket in core if bucket.scope == stats.scope), None)
    return core[0] if len(core) == 1 else None


def _tables(stats: Stats) -> tuple[Table, Table]:
    answered = [(tier, n) for tier, n in stats.hits.items() if n]
    answered += [
        ("revalidated by a 304", stats.revalidated),
        ("GitHub", stats.misses),
        ("GitHub, not cacheable", stats.bypassed),
    ]
    tiers = [(name, str(n), f"{100 * n / stats.requests:.1f} %") for name, n in answered if n]
    routes = [(route.route, str(route.requests), str(route.saved)) for route in stats.routes]
    return (
        Table("By tier", ("Answered by", "Requests", "Share"), _at_most(tiers)),
        Table("Busiest operations", ("Operation", "Requests", "Saved"), _at_most(routes)),
    )


def _details(stats: Stats) -> Iterator[Table]:
    upstream, peers = stats.upstream, stats.peers
    if upstream.calls:
        calls = [
            ("calls", upstream.calls),
            ("charged", upstream.charged),
            ("not modified (304)", upstream.not_modified),
        ]
        calls += [(f"status {status}", n) for status, n in sorted(upstream.by_status.items())]
        yield Table("Calls to GitHub", ("What", "Calls"), _at_most(_counts(calls)))
    buckets = [(f"{b.scope}, {b.resource}", str(b.remaining), str(b.limit)) for b in stats.quota]
    yield Table("Quota", ("Bucket", "Left", "Limit"), _at_most(buckets))
    if peers.known or peers.bytes_in or peers.bytes_out:
        swarm = [
            ("connected", peers.connected),
            ("known", peers.known),
            ("bytes received", peers.bytes_in),
            ("bytes sent", peers.bytes_out),
        ]
        yield Table("Peers", ("What", "Count"), _counts(swarm))
    yield Table("Decided by", ("Rule", "Requests"), _at_most(_counts(_ranked(stats.rules))))
    stores = [(s.name, "in use" if s.state == "closed" else s.why, str(s.calls)) for s in stats.stores]
    yield Table("Stores", ("Store", "State", "Calls"), _at_most(stores), figures=False)
    yield Table("Went wrong inside", ("What", "Times"), _at_most(_counts(_ranked(stats.errors))))


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


def _as_text(table: Table) -> str:
    rows = [tuple(map(plain, row)) for row in (table.head, *table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in [table.title, *lines])


def _as_markdown(table: Table) -> str:
    if not table.rows:
        return ""
    align = (":--", *["--:" if table.figures else ":--"] * (len(table.head) - 1))
    lines = [table.head, align, *(tuple(map(escaped, row)) for row in table.rows)]
    return f"**{table.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _pie(tiers: Table) -> str:
    if not tiers.rows:
        return ""
    slices = [f'  "{re.sub(r"[^A-Za-z0-9 ,]", " ", plain(name))}" : {n}' for name, n, _ in tiers.rows if n]
    return "\n".join(["```mermaid", "pie title Answered by", *slices, "```"])


def _line(cell: str, most: int = MAX_CELL) -> str:
    """Return one line of printable text, at most `most` characters."""
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cell[: most + 1])
    return line if len(line) <= most else f"{line[: most - 1]}…"


def plain(cell: str, most: int = MAX_CELL) -> str:
    """Return a line without workflow commands.

    The runner executes a line that begins, after blanks, with ``::``, and one that holds ``##[`` anywhere
    (actions/runner, src/Runner.Common/ActionCommand.cs).
    """
    return re.sub(r":(?=:)", ": ", _line(cell, most)).replace("##[", "## [")


_SPECIAL = re.compile(r"[^\w /{}.,:;=()%+-]|_|::|://|(?<=[wW])\.")


def escaped(cell: str, most: int = MAX_CELL) -> str:
    """Return a line with every character that is special in Markdown or HTML as a character reference.

    A reference is never syntax (CommonMark 0.31, 2.5), so no cell can end its table, start a tag or make a
    link; nor is it a workflow command where act prints the summary to its log.
    """
    return _SPECIAL.sub(lambda found: "".join(f"&#{ord(c)};" for c in found[0]), _line(cell, most))
