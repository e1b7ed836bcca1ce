"""For programs that run beside a node: PyGithub and gh through it, and its statistics. Starts nothing.

A client is told where the node is by `P2PCACHE_SOCKET`, as the Action and ``p2pcache up`` export it. Where no node
answers, the calls go to GitHub directly and one warning says so.
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
    """PyGithub's `Github`, its traffic through the running node.

    Takes the arguments of `github.Github`. Without `auth`, the job's token is used. PyGithub's throttle between
    requests is off unless asked for, since what the node answers costs GitHub nothing. With a `base_url` of
    another server than github.com the calls go there as they would without a node.
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
