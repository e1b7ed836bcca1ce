"""The sections of the page: from what a node reports to HTML, each under the id by which it is replaced."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from p2pcache.hub import page_chart, page_peers
from p2pcache.hub.markup import Content, Markup, count, escaped, joined, percent, plural, size, span, tag
from p2pcache.hub.page_history import DAY_SECONDS, SAMPLE_SECONDS, TOGETHER_SECONDS, History, points
from p2pcache.ledger.stats import TIERS, QuotaStats, RouteStats, Stats

MAX_ROUTES, MAX_QUOTA, MAX_TROUBLES = 8, 6, 6
LOW = 0.1
"""The share of a quota below which it is marked."""
SHADES = 8
"""Shades of the accent that the style sheet has for tiers."""

_STEP = re.compile(r"(\{[^{}]*\}|/)")

_TIERS = {
    "memory": "memory",
    "disk": "disk",
    "peer": "peers",
    "actions": "Actions cache",
    "ipfs": "IPFS",
    "s3": "S3",
    "coalesced": "one call for several",
    "stale": "stale, GitHub is silent",
    "revalidated": "304, free of charge",
    "misses": "GitHub, a call each",
    "bypassed": "passed on",
}
_ERRORS = {
    "upstream": "GitHub could not be reached",
    "cache": "the cache failed; GitHub was asked past it",
    "internal": "an error inside; the log says more",
    "peer_timeout": "a peer did not answer in time",
    "peer_miss": "a peer no longer had what it announced",
    "garbage": "a peer sent what it should not",
    "busy": "more blocks were wanted than are given at a time",
    "drop_unacknowledged": "a peer did not confirm what to forget",
    "hints_skipped": "members were too many to introduce at once",
}


@dataclass(frozen=True, slots=True)
class PageView:
    """What the page shows.

    Attributes:
        stats: the ledger.
        peers: the peers table.
        ready: the ready file's content.
        hub: whether the node is a hub.
        history: the ledger over time.
        now: Unix seconds.
        active: peers that sent or got something since the last view.
    """

    stats: Stats
    peers: Sequence[Mapping[str, Any]]
    ready: Mapping[str, Any]
    hub: bool
    history: History
    now: float
    active: frozenset[str] = frozenset()


def sections(view: PageView) -> dict[str, Markup]:
    """Return every section by its id, in the order of the page."""
    return {
        "about": _about(view),
        "health": _health(view.stats),
        "saved": _saved(view),
        "peers": _peers(view),
        "tiers": _tiers(view.stats),
        "routes": _routes(view.stats),
        "quota": _quota(view.stats, view.now),
        "errors": _errors(view),
    }


def title(view: PageView) -> str:
    """Return the document's title."""
    number, label = _hero(view.stats)
    return f"{count(number)} {label} · p2pcache"


def _section(name: str, heading: Content, *content: Content, aside: Content = "", class_: str = "card") -> Markup:
    head = (tag("h2", heading, id=f"{name}-heading"), tag("p", aside, class_="aside") if aside else None)
    return tag("section", tag("header", *head), *content, id=name, class_=class_, aria_labelledby=f"{name}-heading")


def _empty(*text: Content) -> Markup:
    return tag("p", *text, class_="empty")


def _about(view: PageView) -> Markup:
    node = view.stats.node
    facts = (
        ("upstream", node.upstream),
        ("version", node.version),
        ("up", span(node.uptime_seconds - node.uptime_seconds % 60) if node.uptime_seconds >= 60 else "under a minute"),
        ("as of", tag("time", _clock(view.now), datetime=_iso(view.now))),
    )
    pairs = (tag("div", tag("dt", name), tag("dd", value)) for name, value in facts if value)
    return tag("dl", *pairs, id="about")


def _health(stats: Stats) -> Markup:
    reasons = stats.node.degraded
    if not reasons:
        return tag("div", id="health", role="status")
    listed = tag("ul", *(tag("li", reason) for reason in reasons))
    return tag("div", tag("strong", "Degraded"), listed, id="health", class_="degraded", role="status")


def _hero(stats: Stats) -> tuple[int, str]:
    """Return the figure that counts: a hub whose members have nodes of their own saves calls there."""
    if not stats.requests and stats.peers.blocks_given:
        return stats.peers.blocks_given, "answers given to members"
    return stats.api_calls_saved, "API call saved" if stats.api_calls_saved == 1 else "API calls saved"


def _saved(view: PageView) -> Markup:
    stats = view.stats
    number, label = _hero(stats)
    facts = [
        ("hit rate", percent(stats.hit_rate) if stats.cacheable else "none yet"),
        ("requests", count(stats.requests)),
        ("calls charged", count(stats.upstream.charged)),
        ("not waited", span(stats.time_saved_ms / 1000)),
        ("from cache", size(stats.bytes_from_cache)),
        ("given to members", count(stats.peers.blocks_given)),
    ]
    listed = tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts), class_="facts")
    hero = tag("p", tag("strong", count(number), class_="number"), " ", tag("span", label), class_="hero")
    periods = tag(
        "fieldset",
        tag("legend", "Period", class_="unseen"),
        *(
            tag("label", tag("input", type="radio", name="period", value=name, checked=checked), text)
            for name, text, checked in (("hour", "Hour", "checked"), ("day", "Day", None))
        ),
    )
    figure = tag("div", tag("header", tag("h3", "Hit rate"), periods), *_charts(view), class_="over-time")
    return tag(
        "section",
        tag("h2", "Saved so far", id="saved-heading", class_="unseen"),
        tag("div", hero, listed, class_="figures"),
        figure,
        id="saved",
        class_="card",
        aria_labelledby="saved-heading",
        data_title=title(view),
    )


def _charts(view: PageView) -> list[Markup]:
    history = view.history
    hour, day = points(history.hour, SAMPLE_SECONDS), points([*history.day, *list(history.hour)[-1:]], DAY_SECONDS)
    charts = [page_chart.chart("hour", *hour), page_chart.chart("day", *day)]
    if not view.stats.cacheable and not view.stats.peers.blocks_given:
        address = view.ready.get("api_url", "")
        charts.append(_empty("The line begins with the first request: ", tag("code", f"curl {address}/rate_limit")))
    return charts


def _tiers(stats: Stats) -> Markup:
    known = [*TIERS, *(name for name in stats.hits if name not in TIERS)]
    counts = {name: stats.hits.get(name, 0) for name in known} | {
        "revalidated": stats.revalidated,
        "misses": stats.misses,
        "bypassed": stats.bypassed,
    }
    shown = {name: n for name, n in counts.items() if n}
    if not shown:
        ring = tag("svg", tag("circle", r=40, class_="shade-passed"), viewBox="-50 -50 100 100", class_="donut",
                   aria_hidden="true")  # fmt: skip
        return _section(
            "tiers", "Answered by", ring, _empty("Which tier answered how much: memory, disk, peers, GitHub.")
        )
    shades = _shades(shown)
    whole, begin = sum(shown.values()), 0.0
    arcs, rows = [], []
    for name, n in shown.items():
        share = n / whole * 100
        dashes = {"stroke_dasharray": f"{max(0.0, share - 0.5):.2f} 100", "stroke_dashoffset": f"{-begin:.2f}"}
        arcs.append(tag("circle", r=40, class_=shades[name], **dashes, pathLength=100))
        begin += share
        swatch = tag("svg", tag("rect", width=10, height=10, rx=3, class_=shades[name]), viewBox="0 0 10 10",
                     aria_hidden="true", class_="swatch")  # fmt: skip
        heading = tag("th", swatch, _TIERS.get(name, name), scope="row")
        rows.append(tag("tr", heading, tag("td", count(n)), tag("td", percent(n / whole), class_="muted")))
    label = "Answers by tier: " + ", ".join(
        f"{_TIERS.get(name, name)} {percent(n / whole)}" for name, n in shown.items()
    )
    centre = (
        tag("text", count(whole), class_="total", y=4),
        tag("text", "answers", class_="caption", y=16),
    )
    donut = tag("svg", tag("g", *arcs, transform="rotate(-90)"), *centre, viewBox="-50 -50 100 100", class_="donut",
                role="img", aria_label=label)  # fmt: skip
    head = tag(
        "thead", tag("tr", *(tag("th", name, scope="col") for name in ("tier", "answers", "share"))), class_="unseen"
    )
    return _section("tiers", "Answered by", tag("div", donut, tag("table", head, tag("tbody", *rows)), class_="split"))


def _shades(names: Mapping[str, int]) -> dict[str, str]:
    own = [name for name in names if name not in ("misses", "bypassed")]
    shades = {name: f"shade-{min(i, SHADES - 1)}" for i, name in enumerate(own)}
    return shades | {"misses": "shade-asked", "bypassed": "shade-passed"}


def _peers(view: PageView) -> Markup:
    graph = page_peers.peers(view.peers, hub=view.hub, active=view.active)
    if not page_peers.shown(view.peers):
        address = next(iter(view.ready.get("multiaddrs", ())), "")
        told = ("Jobs on this host find a hub by themselves; others dial ", tag("code", address))
        graph = joined((graph, _empty(*told) if address else _empty("This node has not joined a swarm.")))
    return _section("peers", "Peers", graph, aside=page_peers.summary(view.peers))


def _routes(stats: Stats) -> Markup:
    if not stats.routes:
        return _section(
            "routes", "Busiest routes", _empty("Which operations are asked most, and how many of them cost nothing.")
        )
    most = stats.routes[0].requests or 1
    rows = [_route(route, most) for route in stats.routes[:MAX_ROUTES]]
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in ("operation", "requests", "saved"))))
    more = len(stats.routes) - MAX_ROUTES
    aside = f"and {plural(more, 'other')}" if more > 0 else ""
    return _section("routes", "Busiest routes", tag("table", head, tag("tbody", *rows)), aside=aside)


def _route(route: RouteStats, most: int) -> Markup:
    saved = _share(route.saved, route.requests)
    name = tag("span", *map(_step, _STEP.split(route.route)), title=route.route)
    return tag(
        "tr",
        tag("th", name, _bar(route.requests / most, saved=saved), scope="row"),
        tag("td", count(route.requests)),
        tag("td", percent(saved), class_="muted"),
    )


def _step(part: str) -> Markup:
    """Return a part of a route: a name for a parameter in a softer colour, and after a slash room for a new line."""
    if part.startswith("{"):
        return tag("span", part, class_="muted")
    return joined((part, tag("wbr"))) if part == "/" else escaped(part)


def _share(part: int, whole: int) -> float:
    return min(1.0, part / whole) if whole else 0.0


def _bar(length: float, *, saved: float = 1.0, kind: str = "") -> Markup:
    """Return a bar on its track; `saved` is the share of it in the accent's colour."""
    width = max(0.0, min(1.0, length)) * 100
    rects = (
        tag("rect", class_="track", width="100%", height="100%"),
        tag("rect", class_="whole", width=f"{width:.2f}%", height="100%"),
        tag("rect", class_=f"part {kind}".strip(), width=f"{width * saved:.2f}%", height="100%"),
    )
    return tag("svg", *rects, class_="bar", aria_hidden="true")


def _quota(stats: Stats, now: float) -> Markup:
    if not stats.quota:
        return _section("quota", "Quota", _empty("What GitHub still allows, by token: its first answer says it."))
    ranked = sorted(
        stats.quota, key=lambda bucket: (bucket.scope != stats.scope, _share(bucket.remaining, bucket.limit))
    )
    more = len(ranked) - MAX_QUOTA
    aside = f"and {plural(more, 'other')}" if more > 0 else ""
    return _section("quota", "Quota", tag("ul", *(_bucket(each, now) for each in ranked[:MAX_QUOTA])), aside=aside)


def _bucket(bucket: QuotaStats, now: float) -> Markup:
    left = _share(bucket.remaining, bucket.limit)
    low = left < LOW
    reset = f"resets in {_minutes(bucket.reset - now)}" if bucket.reset else "reset unknown"
    return tag(
        "li",
        tag(
            "p", tag("code", bucket.scope, title=bucket.scope), tag("span", bucket.resource, class_="chip"), class_="of"
        ),
        tag("p", tag("strong", count(bucket.remaining)), f" of {count(bucket.limit)}", class_="left"),
        _bar(left, kind="low" if low else ""),
        tag("p", "nearly spent, " if low else "", reset, class_="reset"),
        class_="low" if low else None,
    )


def _minutes(seconds: float) -> str:
    return "under a minute" if seconds < 60 else span(seconds)


def _errors(view: PageView) -> Markup:
    found = [
        (incident.at, _ERRORS.get(incident.kind, incident.kind), _times(incident.times))
        for incident in view.history.incidents
    ]
    found += page_peers.troubles(view.peers, view.now)
    if not found:
        return _section("errors", "Last errors", _empty("Nothing went wrong."))
    found.sort(key=lambda trouble: -trouble[0])
    items = (
        tag("li", tag("time", _ago(view.now - at), datetime=_iso(at)), tag("strong", what), " ", tag("span", why))
        for at, what, why in found[:MAX_TROUBLES]
    )
    return _section("errors", "Last errors", tag("ol", *items))


def _times(n: int) -> str:
    return "" if n == 1 else f"{count(n)} times"


def _ago(seconds: float) -> str:
    return "now" if seconds < TOGETHER_SECONDS else f"{span(seconds)} ago"


def _clock(at: float) -> str:
    return f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%H:%M:%S} UTC"


def _iso(at: float) -> str:
    return f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
