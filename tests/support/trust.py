"""Nodes of one swarm, or of one directory, that ought to trust each other no further than is promised."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.forks import Forks, over
from tests.support.processes import START_SECONDS, GitHub, Node, environment, running

PRIVATE, APP = "octo/vault", "octo/app"
JOB, OTHER_JOB = "ghs_job", "ghs_otherjob"
PERSONAL, OTHER_PERSONAL = "ghp_personal", "ghp_otherperson"


class Swarm:
    """Starts nodes that know one secret, and ends them."""

    def __init__(self, forks: Forks, home: Path, upstream: str) -> None:
        self._forks = forks
        self._home = home
        self._upstream = upstream
        self._ends = contextlib.ExitStack()
        self.secret = secrets.token_hex(32)

    def __enter__(self) -> Swarm:
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.close()

    def alone(self, name: str, *flags: str, **variables: str) -> Node:
        """A node; a flag or variable given here counts, whatever is usual."""
        home = self._home / name
        usual = ("--socket", str(home / "s"), "--dir", str(home / "store"), "--p2p-listen", "/ip4/127.0.0.1/tcp/0")
        said = self._ends.enter_context(
            self._node(
                *("serve", "--upstream", self._upstream, *usual, *flags),
                home=home,
                environ={"CACHE_SECRET": self.secret, "CACHE_TTL": "600", **variables},
            )
        )
        return Node(said["api_url"], said["socket"], said["pid"], said["ready_file"], said["log"])

    @contextlib.contextmanager
    def _node(self, *arguments: str, home: Path, environ: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """A node until it is ready, then as long as the test; it has to end when it is asked to."""
        home.mkdir(parents=True, exist_ok=True)
        ready, log = home / "ready.json", home / "log"
        pid = self._forks.start([*arguments, "--ready-file", ready], environment(home, **environ), log, {}, "")

        def wait(holds: Callable[[], bool], what: str) -> None:
            deadline = time.monotonic() + START_SECONDS
            while not holds():
                if time.monotonic() > deadline:
                    pytest.fail(f"{what}: not within {START_SECONDS} s\n{log.read_text()}")
                time.sleep(0.01)

        try:
            wait(lambda: ready.exists() or over(pid), "the ready file")
            yield {**json.loads(ready.read_text()), "ready_file": ready, "log": log}
            if not over(pid):
                os.kill(pid, signal.SIGTERM)
            wait(lambda: over(pid), "the end")
        finally:
            if not over(pid):
                os.kill(pid, signal.SIGKILL)

    def hub(self, *flags: str, **variables: str) -> Node:
        hub = self.alone("hub", "--hub", *flags, **variables)
        hub.until(lambda _: hub.ready["p2p"] == "ready", "the hub's swarm")
        return hub

    def member(self, name: str, hub: Node, *flags: str, **variables: str) -> Node:
        """A node that has found the hub."""
        node = self.alone(name, "--bootstrap", hub.ready["multiaddrs"][0], *flags, **variables)
        node.until(lambda stats: stats["peers"]["connected"] > 0, f"{name} at the hub")
        return node


def announced(node: Node) -> None:
    """Wait until what the others hold has been told to `node`."""
    node.until(lambda _: sum(peer["announced"] for peer in node.control("peers")) > 0, "the announcement")


@contextlib.contextmanager
def github(home: Path) -> Iterator[GitHub]:
    """A stand-in with a repository that one person may read, and nobody's job but its own."""
    with running("p2pcache.testing", home=home) as said:
        found = GitHub(said["url"])
        found.order("repository", name="mona/notes", private=True)
        found.order("token", value=JOB, repos=[APP])
        found.order("token", value=OTHER_JOB, repos=[APP])
        found.order("token", value=PERSONAL, repos=[APP, PRIVATE], kind="user")
        found.order("token", value=OTHER_PERSONAL, repos=[APP, "mona/notes"], kind="user")
        yield found
