"""Programs that tests start and `.ci/programs` builds, kept by their versions outside the tree."""

from __future__ import annotations

import os
from pathlib import Path

_BUILT = {
    "versitygw": "versitygw-1.8.0/versitygw",
    "kubo": "kubo-0.43.0/ipfs",
    "github-mcp-server": "github-mcp-server-1.8.0/github-mcp-server",
    "ipfs-cluster": "ipfs-cluster-1.1.6/ipfs-cluster-service",
}


NAMES = tuple(_BUILT)


def program(name: str) -> Path:
    """The path of a program, as it is built."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "p2pcache-ci" / _BUILT[name]
