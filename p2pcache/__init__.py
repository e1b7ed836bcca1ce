"""GitHub API answers, shared peer to peer between the jobs of a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from p2pcache.client import GitHubCLI, get_global_cache, github_client

__version__ = "1.0.0"
__all__ = ["GitHubCLI", "__version__", "get_global_cache", "github_client"]


def __getattr__(name: str) -> Any:
    # A node imports this package too and does not need the clients.
    if name not in __all__:
        raise AttributeError(f"module 'p2pcache' has no attribute {name!r}")
    from p2pcache import client

    return getattr(client, name)
