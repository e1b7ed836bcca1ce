"""A hub with few open files: clients that take all they can get leave room for the members."""

from __future__ import annotations

import contextlib
import secrets
import socket
from pathlib import Path
from typing import Any

from tests.support.processes import GitHub, Node, running

FILES = 200


def test_members_still_join_and_are_served(tmp_path: Path, github: GitHub, tokens: list[str], repository: str) -> None:
    named = {"CACHE_SECRET": secrets.token_hex(32), "GITHUB_REPOSITORY": "octo/app", "CACHE_UPSTREAM": github.url}

    def node(home: Path, *flags: str, files: int = 0) -> contextlib.AbstractContextManager[dict[str, Any]]:
        flags = ("serve", "--listen", "127.0.0.1:0", "--dir", str(home / "d"), "--socket", str(home / "s"), *flags)
        return running("p2pcache", *flags, home=home, files=files, environ={"GITHUB_TOKEN": tokens[0], **named})

    with contextlib.ExitStack() as life:
        hub = life.enter_context(node(tmp_path / "hub", "--hub", "--p2p-listen", "/ip4/127.0.0.1/tcp/0", files=FILES))
        port = int(hub["api_url"].rpartition(":")[2])
        for _ in range(2 * FILES):
            life.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        member = life.enter_context(node(tmp_path / "member", "--bootstrap", hub["multiaddrs"][0]))
        joined = Node(member["api_url"], Path(member["socket"]))
        joined.until(lambda stats: stats["peers"]["connected"] == 1, "the member is in the swarm")
        assert joined.get(f"/repos/{repository}", tokens[0])[0] == 200
