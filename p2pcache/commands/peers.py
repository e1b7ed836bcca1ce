"""``p2pcache peers``: a table for a terminal of 80 columns, followed by the reasons of refusals and drops."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from p2pcache.commands.console import to_stdout
from p2pcache.commands.inspect import ask_node

COLUMNS = 80
_HEAD = ("peer", "address", "state", "since", "rtt", "received", "sent")
_UNITS = ("B", "kB", "MB", "GB")


def peers(directory: str | None, *, as_json: bool) -> None:
    """Print the peers table."""
    rows: list[dict[str, Any]] = ask_node("/-/peers", directory)
    with to_stdout():
        if as_json:
            click.echo(json.dumps(rows, indent=2))
        else:
            click.echo("\n".join(table(rows)) if rows else "no peers")


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines, none longer than `COLUMNS` except the reasons."""
    cells = [_HEAD, *map(_cells, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(_HEAD))]
    widths[1] = min(widths[1], COLUMNS - sum(widths) + widths[1] - 2 * (len(widths) - 1))
    for line in cells:
        shown = [_fitting(cell, width) for cell, width in zip(line, widths, strict=True)]
        yield "  ".join(shown).rstrip()
    yield from _reasons(rows)


def _reasons(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield each reason once, with all its peers and the latest time."""
    alike: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["reason"]:
            alike.setdefault((row["state"], row["reason"]), []).append(row)
    for (state, reason), group in alike.items():
        names = ", ".join(dict.fromkeys(row["peer_id"][-8:] or _host_port(row["address"]) for row in group))
        clock = _clock(max(row["since"] for row in group))
        yield f"{names} {state}{clock and f' at {clock}'}: {reason}"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    rtt = "" if row["rtt_ms"] is None else f"{row['rtt_ms']:.0f} ms"
    state = f"{row['state']} {row['direction']}".strip()
    received, sent = _size(row["bytes_in"]), _size(row["bytes_out"])
    return row["peer_id"][-8:], _host_port(row["address"]), state, _clock(row["since"]), rtt, received, sent


def _host_port(multiaddr: str) -> str:
    parts = re.match(r"/(ip4|ip6|dns[46]?)/([^/]+)/tcp/(\d+)", multiaddr)
    if parts is None:
        return multiaddr
    return f"[{parts[2]}]:{parts[3]}" if parts[1] == "ip6" else f"{parts[2]}:{parts[3]}"


def _clock(since: float) -> str:
    """Return the time of day, the date if it is more than a day ago, or "" for a peer that was never connected."""
    if not since:
        return ""
    return time.strftime("%H:%M" if time.time() - since < 86_400 else "%d %b", time.localtime(since))


def _size(n: float) -> str:
    unit = 0
    while n >= 1000 and unit < len(_UNITS) - 1:
        n, unit = n / 1000, unit + 1
    return f"{n:.1f} {_UNITS[unit]}" if unit else f"{n:.0f} B"


def _fitting(cell: str, width: int) -> str:
    return cell.ljust(width) if len(cell) <= width else f"{cell[: width - 1]}…"
