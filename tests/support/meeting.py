"""What a job does that wants to meet the others: ``meeting.py FOLDER NAME SIZE PEERS``, the node from the environment.

It waits until its node has PEERS peers and all SIZE jobs have theirs, then says who it is and what it was told. It
ends when all have said so: until then every node is there.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 90.0


def until(holds: Callable[[], object], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {SECONDS:g} s")
        time.sleep(0.05)


def control(path: str) -> Any:
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    connection.sock.connect(os.environ["P2PCACHE_SOCKET"])
    connection.request("GET", path)
    return json.load(connection.getresponse())


def peers() -> set[str]:
    """Ids of those that are connected."""
    return {row["peer_id"] for row in control("/-/peers") if row["state"] in ("hub", "member", "slow")}


def answers(multiaddr: str) -> bool:
    """Whether a libp2p peer listens there."""
    _, _, host, _, port, *_ = multiaddr.split("/")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.settimeout(10)
        connection.sendall(b"\x13/multistream/1.0.0\n")
        return connection.recv(20, socket.MSG_WAITALL) == b"\x13/multistream/1.0.0\n"


def main(folder: Path, name: str, size: int, wanted: int) -> None:
    def everybody(mark: str) -> None:
        (folder / f"{name}.{mark}").touch()
        until(lambda: len(list(folder.glob(f"*.{mark}"))) >= size, f"{name}: {mark} of all")

    alone = not peers()
    until(lambda: len(peers()) >= wanted, f"{name}: peers")
    everybody("met")
    multiaddr = os.environ["P2PCACHE_MULTIADDR"]
    said = {
        "peer_id": os.environ["P2PCACHE_PEER_ID"],
        "multiaddr": multiaddr,
        "port": os.environ.get("CACHE_LISTEN_PORT", ""),
        "answers": answers(multiaddr),
        "alone_at_first": alone,
        "peers": sorted(peers()),
    }
    print("met " + json.dumps(said), flush=True)
    everybody("said")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
