"""The variables that direct gh, Octokit, PyGithub and curl to a node, and shell code to set and restore them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from p2pcache.exports import NODE_EXPORTS
from p2pcache.gateway.ask import NodeError, ask
from p2pcache.runner.job import Job, exported, node_outputs, write_gh_config
from p2pcache.settings import ClientSettings
from p2pcache.settings import environment as variables

OWN = tuple(NODE_EXPORTS.values())
OF_OTHERS = ("GITHUB_API_URL", "GITHUB_GRAPHQL_URL", "GH_CONFIG_DIR")
"""Variables of other programs, whose earlier values ``down`` restores."""
_BEFORE = "P2PCACHE_BEFORE_"


def client_environment(ready: Mapping[str, Any], job: Job) -> dict[str, str]:
    """Return the variables with which a shell or a child process uses the node of `ready`."""
    write_gh_config(job, ready["socket"], variables())
    return {
        **exported(node_outputs(ready)),
        # @actions/github, @octokit/action and most scripts with curl read these two.
        "GITHUB_API_URL": ready["api_url"],
        "GITHUB_GRAPHQL_URL": ready["graphql_url"],
        "GH_CONFIG_DIR": str(job.gh),
    }


def exports(ours: Mapping[str, str], here: Mapping[str, str]) -> Iterator[str]:
    """Yield lines for ``eval`` that export `ours` and save the earlier values in `here`, the shell's variables."""
    for name in OF_OTHERS:
        if here.get(name) and "P2PCACHE_SOCKET" not in here:
            yield _export(_BEFORE + name, here[name])
    for name in (*OWN, *OF_OTHERS):
        if name in ours:
            yield _export(name, ours[name])
        elif name in here:
            yield f"unset {name}"


def restores(here: Mapping[str, str]) -> Iterator[str]:
    """Yield lines for ``eval`` that restore the earlier values in a shell with the variables `here`.

    None while a node answers at the exported socket: that is another node than the stopped one.
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
