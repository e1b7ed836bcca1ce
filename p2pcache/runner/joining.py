"""Wait until the job's node has joined the swarm, or for the reason that it has not, as the node reports it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from p2pcache.gateway.ask import NodeError, ask_any

SWARM_SECONDS = 20.0
"""libp2p takes a second to load; ten times as long where a dozen jobs start at once."""
CONNECT_SECONDS = 10.0
LOOK_SECONDS = 0.05
CONNECTED = ("hub", "member", "slow")
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Joined:
    """The result; `problem`: why the node works alone although it knows a hub, or ""."""

    connected: bool
    problem: str = ""


def join(ready: Mapping[str, Any], hubs: Iterable[str], seconds: float = CONNECT_SECONDS) -> Joined:
    """Wait until a peer of the node is connected, or until it is certain that none will be.

    A refusal is final; an unreachable hub may become reachable, so the wait goes on.

    Args:
        ready: the node's ready file.
        hubs: the multiaddrs that the node dials; without any there is no wait.
        seconds: the deadline.
    """
    state = str(ready.get("p2p", ""))
    if state == "off":
        return Joined(False)
    if state == "starting":
        return Joined(False, f"peer to peer was not ready within {SWARM_SECONDS:g} s")
    if state.startswith("failed"):
        return Joined(False, f"peer to peer {state}")
    dialled = {address.partition("/p2p/")[0] for address in hubs}
    end = time.monotonic() + (seconds if dialled else 0.0)
    while True:
        try:
            rows = ask_any(ready["socket"], "/-/peers")
        except NodeError as error:
            return Joined(False, str(error))
        if any(row["via"] == "direct" and row["state"] in CONNECTED for row in rows):
            return Joined(True)
        tried = {row["address"]: row for row in rows if row["address"] in dialled}
        if time.monotonic() >= end or (tried and all(tried.get(a, {}).get("state") == REFUSED for a in dialled)):
            break
        time.sleep(LOOK_SECONDS)
    if not dialled:
        return Joined(False)
    reasons = "; ".join(f"{row['reason']} ({address})" for address, row in tried.items())
    return Joined(False, f"not in the swarm: {reasons or f'no peer within {seconds:g} s'}")
