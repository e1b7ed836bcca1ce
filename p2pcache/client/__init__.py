"""The Python API: PyGithub and gh through a running node, and its statistics. It starts no node.

The node is found by `P2PCACHE_SOCKET`, which the Action and ``p2pcache up`` export. Without a node the calls go to
GitHub directly, with one warning.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from p2pcache.client.discovery import NodeNotFoundError, RunningNode, get_global_cache
from p2pcache.client.gh import GitHubCLI, GitHubCLIError
from p2pcache.settings import ClientSettings

if TYPE_CHECKING:
    from github import Github

__all__ = ["GitHubCLI", "GitHubCLIError", "NodeNotFoundError", "RunningNode", "get_global_cache", "github_client"]

logger = logging.getLogger(__name__)


def github_client(**kwargs: Any) -> Github:
    """Return a PyGithub `Github` whose traffic goes through the running node.

    The arguments are those of `github.Github`. Without `auth`, the job's token is used. PyGithub's throttle between
    requests is off by default, since an answer of the node is no call to GitHub. With a `base_url` of another server
    than github.com the node is not used.
    """
    from github import Auth, Github

    settings = ClientSettings.from_env()
    if settings.token and not kwargs.keys() & {"auth", "login_or_token", "jwt", "app_auth"}:
        kwargs["auth"] = Auth.Token(settings.token.reveal())
    node = RunningNode(settings.socket)
    if not node.answers():
        logger.warning("%s: GitHub is asked directly", node.absence)
        return Github(**kwargs)
    from p2pcache.client.pygithub import NodeGithub

    return NodeGithub(node.path, **{"seconds_between_requests": None, **kwargs})
