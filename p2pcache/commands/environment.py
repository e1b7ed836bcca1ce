"""The variables that lead gh, Octokit, PyGithub and curl to a node, and the lines by which a shell takes them over."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from p2pcache.declarations import NODE_EXPORTS
from p2pcache.gateway.ask import NodeError, ask
from p2pcache.runner.job import Job, exported, node_outputs, write_gh_config
from p2pcache.settings import ClientSettings
from p2pcache.settings import environment as variables

OWN = tuple(NODE_EXPORTS.values())
OF_OTHERS = ("GITHUB_API_URL", "GITHUB_GRAPHQL_URL", "GH_CONFIG_DIR")
"""Variables of other programs, which a shell may have had before: these come back when the node ends."""
_BEFORE = "P2PCACHE_BEFORE_"


def client_environment(ready: Mapping[str, Any], job: Job) -> dict[str, str]:
    """What ``export`` lines or a child process need to use the node of `ready`; without what it has not got."""
    write_gh_config(job, ready["socket"], variables())
    return {
        **exported(node_outputs(ready)),
        # @actions/github, @octokit/action and most scripts with curl read these two.
        "GITHUB_API_URL": ready["api_url"],
        "GITHUB_GRAPHQL_URL": ready["graphql_url"],
        "GH_CONFIG_DIR": str(job.gh),
    }


def exports(led: Mapping[str, str], here: Mapping[str, str]) -> Iterator[str]:
    """Lines for ``eval``: what leads to the node, and what a shell with the variables `here` had before it."""
    for name in OF_OTHERS:
        if here.get(name) and "P2PCACHE_SOCKET" not in here:
            yield _export(_BEFORE + name, here[name])
    for name in (*OWN, *OF_OTHERS):
        if name in led:
            yield _export(name, led[name])
        elif name in here:
            yield f"unset {name}"


def farewell(here: Mapping[str, str]) -> Iterator[str]:
    """Lines for ``eval`` that give a shell with the variables `here` back what it had before.

    None while a node answers where they lead: that is another one than the node that was stopped.
    """
    exported = ClientSettings.from_env(here).socket
    if exported is not None and _answers(exported):
        return
    yield from (f"unset {name}" for name in OWN if name in here)
    for name in OF_OTHERS:
        if before := here.get(_BEFORE + name):
            yield _export(name, before)
            yield f"unset {_BEFORE}{name}"
        elif exported is not None and name in here:
            yield f"unset {name}"


def _answers(socket: Path) -> bool:
    try:
        ask(str(socket), "/-/healthz")
    except NodeError:
        return False
    return True


def _export(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"
