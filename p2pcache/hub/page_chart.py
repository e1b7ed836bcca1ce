"""The chart of the page: the hit rate over time as an area, and below it how many requests there were."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from p2pcache.hub.markup import Markup, joined, percent, plural, span, tag
from p2pcache.hub.page_history import Point

WIDTH, HEIGHT = 1000, 300
TOP, FLOOR = 8.0, 218.0
"""Where the rate is 1, and 0."""
BARS = 56.0
"""The height of the highest bar; bars stand on `HEIGHT`."""
GAP = 0.28
"""Of a bar's width."""


def chart(name: str, points: Sequence[Point], seconds: float) -> Markup:
    """Return the chart of `points`, which cover so many seconds, with labels.

    The drawing is stretched to the room it has, so its strokes are not scaled, and its texts stand beside it.
    """
    rates = [rate for point in points if (rate := point.rate) is not None]
    summary = (
        f"Hit rate over the last {span(seconds)}: {percent(rates[-1])} last, {percent(min(rates))} at least, "
        f"{percent(max(rates))} at most, of {plural(sum(point.cacheable for point in points), 'request')}"
        if rates
        else f"Hit rate over the last {span(seconds)}: no request yet"
    )
    drawing = tag(
        "svg",
        _gradient(name),
        *(tag("line", x1=0, x2=WIDTH, y1=y, y2=y, class_="grid") for y in (TOP, (TOP + FLOOR) / 2, FLOOR)),
        _bars(points),
        _rate(name, points),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=summary,
    )
    return tag(
        "div",
        tag("div", drawing, *_scale(), class_="plot"),
        tag("p", tag("span", f"{span(seconds)} ago"), _key(), tag("span", "now"), class_="times", aria_hidden="true"),
        class_=f"chart {name}",
    )


def _gradient(name: str) -> Markup:
    stops = (tag("stop", offset=0, class_="from"), tag("stop", offset=1, class_="to"))
    return tag("defs", tag("linearGradient", *stops, id=f"fill-{name}", x1=0, x2=0, y1=0, y2=1))


def _scale() -> list[Markup]:
    places = (("100 %", "top"), ("50", "middle"), ("0", "floor"))
    return [tag("span", text, class_=f"y {place}", aria_hidden="true") for text, place in places]


def _key() -> Markup:
    kinds = (("saved", "saved"), ("asked", "asked of GitHub"), ("given", "given to members"))
    return tag("span", *(tag("span", text, class_=kind) for kind, text in kinds), class_="key")


def _rate(name: str, points: Sequence[Point]) -> Markup:
    """Return line and area; where nothing was asked, the line goes straight on to the next rate."""
    known = [(x, FLOOR - rate * (FLOOR - TOP)) for x, _, point in _placed(points) if (rate := point.rate) is not None]
    if not known:
        return Markup()
    (first, start), (last, end) = known[0], known[-1]
    # Flat at both ends of each stretch: a curve that never leaves the range of what was measured.
    curve = "".join(
        f"C{(x + to) / 2:.1f} {y:.1f} {(x + to) / 2:.1f} {down:.1f} {to:.1f} {down:.1f}"
        for (x, y), (to, down) in itertools.pairwise(known)
    )
    line = f"M{first:.1f} {start:.1f}{curve}"
    point = f"M{last:.1f} {end:.1f}h0"
    return joined(
        (
            tag("path", d=f"{line}V{FLOOR:g}H{first:.1f}Z", fill=f"url(#fill-{name})"),
            tag("path", d=line, class_="line"),
            tag("path", d=point, class_="halo"),
            tag("path", d=point, class_="point"),
        )
    )


def _bars(points: Sequence[Point]) -> Markup:
    most = max((_height(point) for point in points), default=0)
    if not most:
        return Markup()
    found = []
    for x, width, point in _placed(points):
        wide = width * (1 - GAP)
        y: float = HEIGHT
        for n, kind in ((point.saved, "saved"), (point.cacheable - point.saved, "asked"), (point.given, "given")):
            if n:
                high = n / most * BARS
                y -= high
                bar = {"x": f"{x - wide / 2:.1f}", "y": f"{y:.1f}", "width": f"{wide:.1f}", "height": f"{high:.1f}"}
                found.append(tag("rect", class_=kind, **bar))
    return joined(found)


def _height(point: Point) -> int:
    return point.cacheable + point.given


def _placed(points: Sequence[Point]) -> list[tuple[float, float, Point]]:
    """Return the points with their middle and their width on the chart."""
    edges = itertools.pairwise([*(point.start for point in points), 1.0])
    stretches = zip(edges, points, strict=True)
    return [((start + end) / 2 * WIDTH, (end - start) * WIDTH, point) for (start, end), point in stretches]
