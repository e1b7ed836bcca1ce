"""Seconds of each lifetime class, and the syntax of `CACHE_TTL`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from p2pcache.github.request import Lifetime

_DAY = 24 * 60 * 60.0

DEFAULT_SECONDS: Mapping[Lifetime, float] = MappingProxyType(
    {
        # A SHA names its content forever, but access may be withdrawn without notice: one free proof a day.
        Lifetime.IMMUTABLE: _DAY,
        # Changed by administrators; GitHub's own pages show some of it with a delay of minutes.
        Lifetime.SLOW: 300.0,
        # GitHub's own lifetime: Cache-Control: private, max-age=60, s-maxage=60.
        Lifetime.NORMAL: 60.0,
        # Covers jobs that poll concurrently; short enough for decisions on current state.
        Lifetime.LIVE: 10.0,
        Lifetime.NEVER: 0.0,
    }
)

_SETTABLE = tuple(lifetime for lifetime in Lifetime if lifetime is not Lifetime.NEVER)


def parse_ttl(text: str) -> dict[Lifetime, float]:
    """Parse `CACHE_TTL` into seconds for every class, by default `DEFAULT_SECONDS`.

    Args:
        text: ``normal=60,slow=300``, or one number for all classes except ``never``, or "".

    Raises:
        ValueError: with one sentence that quotes the value and gives valid ones.
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
