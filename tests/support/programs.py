"""Programs that tests start and `.ci/go-program` builds, kept by their versions outside the tree."""

from __future__ import annotations

import os
from pathlib import Path

_BUILT = {"versitygw": "versitygw-1.8.0/versitygw"}


def built(name: str) -> Path | None:
    """The path of a program, as it is built; None where it is not one of these."""
    if name not in _BUILT:
        return None
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "p2pcache-ci" / _BUILT[name]
