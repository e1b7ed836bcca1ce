"""Programs that tests start and `.ci/programs` builds, or `.ci/actions` fetches, kept by version outside the tree."""

from __future__ import annotations

import os
from pathlib import Path

_BUILT = {
    "versitygw": "versitygw-1.8.0/versitygw",
    "kubo": "kubo-0.43.0/ipfs",
    "github-mcp-server": "github-mcp-server-1.8.0/github-mcp-server",
    "ipfs-cluster": "ipfs-cluster-1.1.6/ipfs-cluster-service",
}
_FETCHED = {
    "actions/github-script": "actions-github-script-8.0.0/dist/index.js",
    "actions/labeler": "actions-labeler-6.0.1/dist/index.js",
    "actions/stale": "actions-stale-10.1.0/dist/index.js",
}

NAMES = (*_BUILT, *_FETCHED)


def program(name: str) -> Path:
    """The path of a program, as it is built."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "p2pcache-ci" / (_BUILT | _FETCHED)[name]


def origin(name: str) -> str:
    """How a program comes to be there, after "is not"."""
    return "built (.ci/programs)" if name in _BUILT else "fetched (.ci/actions)"
