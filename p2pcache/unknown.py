"""``CACHE_*`` variables without effect: unknown ones, each with the nearest known name, and those of other backends."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from p2pcache import backends
from p2pcache.declarations import SETTINGS

_PREFIX = "CACHE_"
_NAME = re.compile(rf"{_PREFIX}\w{{1,60}}", re.ASCII)
_NAMED_AT_MOST = 5
_NEAR = 0.7
"""The similarity of a slip: half a name has it (BOOTSTRAP for BOOTSTRAP_PEERS), a last word not (KEY for TLS_KEY)."""


class Unknown(NamedTuple):
    """The unknown variables of an environment.

    Attributes:
        sentence: one line that names them.
        mistaken: whether one is near a known name; otherwise they are likely another program's.
    """

    sentence: str
    mistaken: bool


def unknown(names: Iterable[str]) -> Unknown | None:
    """Find the ``CACHE_*`` variables among `names` that are no setting; None if there are none."""
    known = {variable for setting in SETTINGS for variable in setting.variables}
    meant = {name: _nearest(name) for name in sorted(names) if _NAME.fullmatch(name) and name not in known}
    if not meant:
        return None
    ordered = sorted(meant, key=lambda name: not meant[name])  # likely mistakes first: the rest may be cut
    listed = [f"{name} (did you mean {meant[name]}?)" if meant[name] else name for name in ordered[:_NAMED_AT_MOST]]
    more = f" and {len(ordered) - _NAMED_AT_MOST} more" if len(ordered) > _NAMED_AT_MOST else ""
    return Unknown(f"ignored, no such setting: {', '.join(listed)}{more}", mistaken=any(meant.values()))


def unused(environ: Mapping[str, str], chosen: Sequence[str]) -> str:
    """Return one line that names the ``CACHE_*`` variables of backends that are not among the `chosen`; "" without any.

    Other names of a setting are likely another program's, as `IPFS_API` is, and one without a value counts as unset.
    """
    used = [backend for backend in backends.known() if backend.name in chosen]
    given = {
        backend.name: names
        for backend in backends.known()
        if backend not in used and (names := [name for name in _variables(backend) if environ.get(name, "").strip()])
    }
    if not given:
        return ""
    listed = "; ".join(f"{', '.join(names)} (of {backend})" for backend, names in given.items())
    all_of_them = ",".join([*(backend.name for backend in used), *given])
    return f"ignored, since the backend is not used: {listed}: set CACHE_BACKENDS to {all_of_them}"


def _variables(backend: backends.Backend) -> Iterable[str]:
    return (name for setting in backend.settings for name in setting.variables if name.startswith(_PREFIX))


def _nearest(name: str) -> str:
    """Return the main variable of the nearest setting, or ""."""
    # Without the prefix, which would make everything similar.
    candidates = {
        variable.removeprefix(_PREFIX): setting.variables[0]
        for setting in SETTINGS
        if not setting.internal
        for variable in setting.variables
        if variable.startswith(_PREFIX)
    }
    near = difflib.get_close_matches(name.removeprefix(_PREFIX), candidates, n=1, cutoff=_NEAR)
    return candidates[near[0]] if near else ""
