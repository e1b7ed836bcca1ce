"""Whether the job's node joined the swarm, and if not, why: what the node itself says, once it had time to try."""

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
    """How it went; `problem`: why the node works alone although it knows a hub, or "" when it does not."""

    connected: bool
    problem: str = ""


def join(ready: Mapping[str, Any], hubs: Iterable[str], seconds: float = CONNECT_SECONDS) -> Joined:
    """Wait until a peer of the node of `ready` is connected, or it is clear that none will be.

    A refusal stands. What was not reached may be reached in a moment, so that is waited for.

    Args:
        ready: the ready file.
        hubs: the multiaddrs the node dials; without any, nobody is waited for.
        seconds: how long.
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
