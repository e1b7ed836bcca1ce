"""``python -m p2pcache.scenarios.worker``: one order, as JSON on stdin; its result as JSON on stdout.

It runs beside a node, in a container by ``docker exec``, so that what it measures is what a job there would see. The
standard library alone: it is started for each order.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from p2pcache.gateway.ask import NodeError, UnixConnection, ask_any

MOST_BYTES = 8 << 20
_POLL = 0.05
_PEERS = ("hub", "member", "slow")
"""The states of peers that are connected (docs/interface.md#peers)."""


class OrderError(RuntimeError):
    """An order failed; the message is one sentence."""


def carry_out(order: Mapping[str, Any]) -> Any:
    """Carry out one order; `do` names it, the other fields are its arguments.

    Raises:
        OrderError: it failed.
    """
    arguments = {name: value for name, value in order.items() if name != "do"}
    try:
        return _ORDERS[order["do"]](**arguments)
    except (OSError, http.client.HTTPException, NodeError) as error:
        raise OrderError(f"{type(error).__name__}: {error}") from None


def ready(file: str, seconds: float, *, p2p: bool = False) -> Any:
    """Wait for a ready file, and with `p2p` until the node has joined the swarm; return its content."""

    def found() -> Any:
        with contextlib.suppress(FileNotFoundError, ValueError):
            content = json.loads(Path(file).read_bytes())
            if p2p and content["p2p"].startswith("failed"):
                raise OrderError(f"P2P {content['p2p']}")
            return content if not p2p or content["p2p"] == "ready" else None
        return None

    if content := _until(found, seconds):
        return content
    raise OrderError(f"not ready within {seconds:g} s")


def peers(socket: str, seconds: float) -> Any:
    """Wait until a node has a peer; return how many are connected, and why others are not."""

    def connected() -> Any:
        rows = ask_any(socket, "/-/peers")
        return rows if any(row["state"] in _PEERS for row in rows) else None

    rows = _until(connected, seconds) or ask_any(socket, "/-/peers")
    return {
        "connected": sum(row["state"] in _PEERS for row in rows),
        "reasons": [row["reason"] for row in rows if row["reason"]],
    }


def work(at: str, token: str, targets: list[str], seconds: float) -> Any:
    """Read `targets` one after another, as a job's script does, from a URL or a node's unix socket.

    Returns:
        For each: its target, status, milliseconds until all of it was there, and the digest of its body.
    """
    # Addressed to GitHub, as `gh` does: its bytes come back as they are.
    headers = {"Host": "api.github.com", "Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
    deadline = time.monotonic() + seconds
    answers = []
    with contextlib.closing(_connection(at, seconds)) as connection:
        for target in targets:
            began = time.perf_counter()
            connection.request("GET", target, headers=headers)
            response = connection.getresponse()
            body = response.read(MOST_BYTES)
            taken = (time.perf_counter() - began) * 1e3
            digest = hashlib.sha256(body).hexdigest()
            answers.append({"target": target, "status": response.status, "ms": round(taken, 3), "digest": digest})
            if time.monotonic() > deadline:
                raise OrderError(f"{len(answers)} of {len(targets)} requests within {seconds:g} s")
    return answers


def ask(at: str, target: str, body: object = None) -> Any:
    """Return the JSON of a URL or of a node's control endpoint; with `body`, which is sent as JSON, of a POST."""
    with contextlib.closing(_connection(at, 30.0)) as connection:
        if body is None:
            connection.request("GET", target)
        else:
            connection.request("POST", target, json.dumps(body))
        response = connection.getresponse()
        answer = response.read(MOST_BYTES)
        if response.status != http.client.OK:
            raise OrderError(f"{target} answered {response.status}")
        return json.loads(answer)


def store_settled(socket: str, store: str, calls: int, seconds: float) -> Any:
    """Wait until a node made so many calls to a store and no other for half a second; return the store's row."""
    before: dict[str, Any] = {}

    def settled() -> Any:
        (row,) = [row for row in ask_any(socket, "/-/stats")["stores"] if row["name"] == store]
        if row["calls"] != before.get("calls"):
            before.update(row, at=time.monotonic())
        return row if row["calls"] >= calls and time.monotonic() - before["at"] > 0.5 else None

    return _until(settled, seconds) or before


def _until(found: Callable[[], Any], seconds: float) -> Any:
    """Return the first true result within `seconds`; None if there is none."""
    deadline = time.monotonic() + seconds
    while not (result := found()) and time.monotonic() < deadline:
        time.sleep(_POLL)
    return result


def _connection(at: str, seconds: float) -> http.client.HTTPConnection:
    if at.startswith("/"):
        return UnixConnection(at, seconds)
    where = urlsplit(at)
    return http.client.HTTPConnection(where.hostname or "", where.port, timeout=seconds)


_ORDERS: Mapping[str, Callable[..., Any]] = {
    "ready": ready,
    "peers": peers,
    "work": work,
    "ask": ask,
    "store_settled": store_settled,
}


def main() -> int:
    """Carry out the order on stdin; print ``{"result": ...}`` or ``{"error": sentence}``."""
    try:
        answer = {"result": carry_out(json.load(sys.stdin))}
    except OrderError as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
