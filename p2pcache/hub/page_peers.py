"""The peers on the page: a graph on circles around this node, and the same as a table."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from p2pcache.hub.markup import Markup, joined, plural, size, tag

Row = Mapping[str, Any]

WIDTH, HEIGHT = 420.0, 320.0
RING = (128.0, 98.0)
OUTER = (188.0, 142.0)
"""Half axes of the circles of direct and of relayed peers."""
MAX_DIRECT, MAX_RELAYED, MAX_LABELLED, MAX_LISTED = 32, 48, 12, 100
SHOWN_ID = 6
HERE = ("hub", "member", "slow")
"""States of peers with a session of their own."""
_ADDRESS = re.compile(r"/(?:ip4|ip6|dns[46]?)/([^/]+)/tcp/(\d+)")


class Place(NamedTuple):
    """Where a peer is drawn: an angle, and the point there."""

    angle: float
    x: float
    y: float


def shown(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that are drawn: connected peers, those that should be, and those behind a hub."""
    return [row for row in rows if row["state"] in (*HERE, "unreached", "relayed")]


def peers(rows: Sequence[Row], *, hub: bool, active: frozenset[str]) -> Markup:
    """Return the section's content: `active` are the peers that sent or got something just now."""
    drawn = shown(rows)
    relayed = [row for row in drawn if row["state"] == "relayed"]
    direct = [row for row in drawn if row["state"] != "relayed"]
    graph = _graph(direct, relayed, hub=hub, active=active)
    return joined((graph, _table([*direct, *relayed]))) if drawn else graph


def summary(rows: Sequence[Row]) -> str:
    """Return how many peers there are of each kind, in words."""
    states = [row["state"] for row in rows]
    here = {state: states.count(state) for state in (*HERE, "relayed", "unreached")}
    named = (
        (here["hub"], plural(here["hub"], "hub")),
        (here["member"], plural(here["member"], "member")),
        (here["slow"], f"{here['slow']} slow"),
        (here["relayed"], f"{here['relayed']} behind a hub"),
        (here["unreached"], f"{here['unreached']} out of reach"),
    )
    return ", ".join(text for n, text in named if n) or "none yet"


def _graph(direct: Sequence[Row], relayed: Sequence[Row], *, hub: bool, active: frozenset[str]) -> Markup:
    direct, relayed = direct[:MAX_DIRECT], relayed[:MAX_RELAYED]
    places = [_place(RING, -math.pi / 2 + 2 * math.pi * i / len(direct)) for i in range(len(direct))]
    hubs = [place for place, row in zip(places, direct, strict=True) if row["state"] == "hub"]
    # Which hub a relayed peer is behind is not known; with one hub there is no question.
    origin = hubs[0] if len(hubs) == 1 else Place(-math.pi / 2, 0.0, 0.0)
    fan = min(2 * math.pi * (1 - 1 / max(2, len(relayed))), 0.35 * len(relayed)) if relayed else 0.0
    outer = [_place(OUTER, origin.angle + fan * ((i + 0.5) / len(relayed) - 0.5)) for i in range(len(relayed))]
    labelled = len(direct) <= MAX_LABELLED
    drawn = [
        tag("ellipse", rx=RING[0], ry=RING[1], class_="orbit"),
        *(_edge(origin, place, "relayed") for place in outer),
        *(_edge(Place(0, 0, 0), place, _kind(row, active)) for place, row in zip(places, direct, strict=True)),
        *(_relayed(place, row) for place, row in zip(outer, relayed, strict=True)),
        *(_node(place, row, active, labelled=labelled) for place, row in zip(places, direct, strict=True)),
        tag("circle", r=30, class_="ring"),
        tag("circle", r=24, class_="self"),
        tag("text", "hub" if hub else "node", class_="name", y=4),
    ]
    box = f"{-WIDTH / 2:g} {-HEIGHT / 2:g} {WIDTH:g} {HEIGHT:g}"
    label = f"Peers around this {'hub' if hub else 'node'}: {summary([*direct, *relayed])}"
    return tag("svg", *drawn, viewBox=box, class_="peers", role="img", aria_label=label)


def _place(axes: tuple[float, float], angle: float) -> Place:
    return Place(angle, axes[0] * math.cos(angle), axes[1] * math.sin(angle))


def _edge(start: Place, end: Place, kind: str) -> Markup:
    ends = {"x1": f"{start.x:.1f}", "y1": f"{start.y:.1f}", "x2": f"{end.x:.1f}", "y2": f"{end.y:.1f}"}
    return tag("line", class_=f"edge {kind}", **ends)


def _kind(row: Row, active: frozenset[str]) -> str:
    return f"{_state(row)} active" if row["peer_id"] in active else _state(row)


def _state(row: Row) -> str:
    return row["state"] if row["state"] in (*HERE, "relayed", "unreached") else "other"


def _node(place: Place, row: Row, active: frozenset[str], *, labelled: bool) -> Markup:
    at = {"x": f"{place.x:.1f}", "y": f"{place.y:.1f}"}
    if row["state"] == "hub":
        shape = tag("rect", x=f"{place.x - 10:.1f}", y=f"{place.y - 10:.1f}", width=20, height=20, rx=5)
    else:
        shape = tag("circle", cx=at["x"], cy=at["y"], r=9)
    above = place.y < -1
    first = place.y + (-28 if above else 24)
    labels = (
        tag("text", _short(row), x=at["x"], y=f"{first:.1f}", class_="id"),
        tag("text", _rtt(row), x=at["x"], y=f"{first + 12:.1f}", class_="rtt"),
    )
    return tag(
        "g", tag("title", _described(row)), shape, *(labels if labelled else ()), class_=f"peer {_kind(row, active)}"
    )


def _relayed(place: Place, row: Row) -> Markup:
    dot = tag("circle", cx=f"{place.x:.1f}", cy=f"{place.y:.1f}", r=4)
    return tag("g", tag("title", _described(row)), dot, class_="peer relayed")


def _described(row: Row) -> str:
    return f"{row['peer_id'] or _host_port(row)}: {row['state']}, {_rtt(row) or 'round trip not measured'}"


def _short(row: Row) -> str:
    return f"…{row['peer_id'][-SHOWN_ID:]}" if row["peer_id"] else _host_port(row)


def _rtt(row: Row) -> str:
    return "" if row["rtt_ms"] is None else f"{row['rtt_ms']:.1f} ms"


def _host_port(row: Row) -> str:
    found = _ADDRESS.match(row["address"])
    return f"{found[1]}:{found[2]}" if found else row["address"]


def _table(rows: Sequence[Row]) -> Markup:
    head = tag(
        "tr", *(tag("th", name, scope="col") for name in ("peer", "state", "round trip", "in", "out", "address"))
    )
    body = (
        tag(
            "tr",
            tag("th", tag("code", row["peer_id"] or "unknown"), scope="row"),
            *(tag("td", cell) for cell in (row["state"], _rtt(row), size(row["bytes_in"]), size(row["bytes_out"]))),
            tag("td", tag("code", _host_port(row))),
        )
        for row in rows[:MAX_LISTED]
    )
    table = tag("table", tag("thead", head), tag("tbody", *body))
    return tag("details", tag("summary", "As a table"), tag("div", table, class_="scroll", tabindex=0, role="group",
               aria_label="Table of peers"))  # fmt: skip


def troubles(rows: Sequence[Row], now: float) -> list[tuple[float, str, str]]:
    """Return the rows with a reason: Unix seconds, peer and state, reason."""
    return [
        (
            row["since"] if row["state"] in ("dropped", "refused") else now,
            f"{_short(row)} {row['state']}",
            row["reason"],
        )
        for row in rows
        if row["reason"]
    ]
