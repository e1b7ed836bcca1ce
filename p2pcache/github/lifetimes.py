"""Seconds for each lifetime class, and how `CACHE_TTL` changes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from p2pcache.github.request import Lifetime

_DAY = 24 * 60 * 60.0

DEFAULT_SECONDS: Mapping[Lifetime, float] = MappingProxyType(
    {
        # A SHA names its content for good, but access may be withdrawn without our hearing of it: once a day GitHub is
        # asked, by a proof that costs nothing.
        Lifetime.IMMUTABLE: _DAY,
        # Changes by an administrator's hand; minutes are what GitHub's own pages take to show some of it.
        Lifetime.SLOW: 300.0,
        # GitHub's own word: Cache-Control: private, max-age=60, s-maxage=60.
        Lifetime.NORMAL: 60.0,
        # Enough for the jobs that poll at the same moment, too little for anyone to act on old news.
        Lifetime.LIVE: 10.0,
        Lifetime.NEVER: 0.0,
    }
)

_SETTABLE = tuple(lifetime for lifetime in Lifetime if lifetime is not Lifetime.NEVER)


def parse_ttl(text: str) -> dict[Lifetime, float]:
    """Seconds for every class, `DEFAULT_SECONDS` where `text` says nothing.

    Args:
        text: ``normal=60,slow=300``, or one number for all classes but ``never``, or nothing.

    Raises:
        ValueError: one sentence saying what was read and what would be right.
    """
    seconds = dict(DEFAULT_SECONDS)
    if not text.strip():
        return seconds
    if "=" not in text:
        return seconds | dict.fromkeys(_SETTABLE, _seconds(text))
    for item in filter(None, map(str.strip, text.split(","))):
        name, _, value = item.partition("=")
        if name.strip() not in _SETTABLE:
            known = ", ".join(_SETTABLE)
            raise ValueError(f"{name.strip()!r} is not a lifetime class that can be set; these are: {known}")
        seconds[Lifetime(name.strip())] = _seconds(value)
    return seconds


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{text.strip()!r} is not a number of seconds; write 60, or normal=60,slow=300")
    return value
