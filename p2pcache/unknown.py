"""Variables that look like the node's and are not: named with those that may be meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple

from p2pcache.declarations import SETTINGS

_PREFIX = "CACHE_"
_NAME = re.compile(rf"{_PREFIX}\w{{1,60}}", re.ASCII)
_NAMED_AT_MOST = 5


class Unknown(NamedTuple):
    """What to say of them.

    Attributes:
        sentence: all of them, in one line.
        mistaken: whether one is near a name of the node's; else they are likely to be another program's.
    """

    sentence: str
    mistaken: bool


def unknown(names: Iterable[str]) -> Unknown | None:
    """Find the ``CACHE_*`` variables among `names` that nothing reads, each with the name that may be meant."""
    known = {variable for setting in SETTINGS for variable in setting.variables}
    meant = {name: _nearest(name) for name in sorted(names) if _NAME.fullmatch(name) and name not in known}
    if not meant:
        return None
    ordered = sorted(meant, key=lambda name: not meant[name])  # the likely mistakes are not to be left out
    said = [f"{name} (did you mean {meant[name]}?)" if meant[name] else name for name in ordered[:_NAMED_AT_MOST]]
    more = f" and {len(ordered) - _NAMED_AT_MOST} more" if len(ordered) > _NAMED_AT_MOST else ""
    return Unknown(f"ignored, no such setting: {', '.join(said)}{more}", mistaken=any(meant.values()))


def _nearest(name: str) -> str:
    """The first name of the setting that is meant, or nothing."""
    # Compared less the prefix, which would make everything near.
    candidates = {
        variable.removeprefix(_PREFIX): setting.variables[0]
        for setting in SETTINGS
        if not setting.internal
        for variable in setting.variables
        if variable.startswith(_PREFIX)
    }
    near = difflib.get_close_matches(name.removeprefix(_PREFIX), candidates, n=1)
    return candidates[near[0]] if near else ""
