"""The variables that lead gh, Octokit, PyGithub and curl to a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2pcache.runner.job import Job, write_gh_config
from p2pcache.settings import environment as variables


def client_environment(ready: Mapping[str, Any], job: Job) -> dict[str, str]:
    """What ``export`` lines or a child process need to use the node of `ready`."""
    write_gh_config(job, ready["socket"], variables())
    return {
        "P2PCACHE_API_URL": ready["api_url"],
        "P2PCACHE_GRAPHQL_URL": ready["graphql_url"],
        "P2PCACHE_SOCKET": ready["socket"],
        "P2PCACHE_PEER_ID": ready["peer_id"],
        "P2PCACHE_MULTIADDR": next(iter(ready["multiaddrs"]), ""),
        # @actions/github, @octokit/action and most scripts with curl read these two.
        "GITHUB_API_URL": ready["api_url"],
        "GITHUB_GRAPHQL_URL": ready["graphql_url"],
        "GH_CONFIG_DIR": str(job.gh),
    }
