"""HTML and SVG in which every text is escaped, unless it is markup already; numbers and times for people."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from p2pcache.wording import counted

VOID = frozenset({"input", "link", "meta", "wbr"})
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Characters that show nothing, or that change how what stands beside them is read."""
_UNITS = ("B", "kB", "MB", "GB", "TB")
MINUTE, HOUR, DAY = 60, 3600, 86_400


class Markup(str):
    """Text that is HTML: made by `tag` and `joined` alone."""

    __slots__ = ()


Content = str | float | None


def escaped(content: Content) -> Markup:
    """Return `content` as HTML: markup as it is, all else escaped, with a replacement mark for invisible characters."""
    if isinstance(content, Markup):
        return content
    return Markup(html.escape(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", "" if content is None else str(content))))


def joined(parts: Iterable[Content]) -> Markup:
    """Return the parts one after the other."""
    return Markup("".join(escaped(part) for part in parts))


def tag(name: str, /, *content: Content, **attributes: Content) -> Markup:
    """Return one element.

    Args:
        name: of the element.
        content: its children.
        attributes: None omits one; an underscore stands for a hyphen, and one at the end for nothing (``class_``).
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>" if name in VOID else f"<{name}{given}>{joined(content)}</{name}>")


def count(n: float) -> str:
    """Return a whole number, its thousands apart."""
    return f"{n:,.0f}"


def plural(n: float, one: str, many: str = "") -> str:
    """Return a number of things."""
    return counted(n, one, many, count(n))


def percent(rate: float) -> str:
    """Return a share of 1; full only where nothing is missing."""
    shown = min(round(rate * 100, 1), 99.9) if rate < 1 else 100
    return f"{shown:g} %"


def size(n: float) -> str:
    """Return a number of bytes in the unit that suits it."""
    unit = 0
    while n >= 1000 and unit < len(_UNITS) - 1:
        n, unit = n / 1000, unit + 1
    return f"{n:.1f} {_UNITS[unit]}" if unit else f"{n:.0f} B"


def span(seconds: float) -> str:
    """Return a length of time in its one or two largest units."""
    whole = max(0, round(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        hours, minutes = divmod(whole // MINUTE, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(whole // HOUR, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
