"""A fleet of processes: the time of an announcement to 20 peers, the hub's memory per runner, calls for a burst.

Run it alone: ``python bench/swarm_fleet.py [--sizes 1 5 20 50]``; exit status 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
import time

import _swarm as swarm
import _tools as tools

ANNOUNCE_MS, HUB_MB = 50.0, 0.5
PEERS, URLS, ROUNDS = 20, 10, 20
SETTLE = 4.0
# A peer that is slow because all share two cores must not cost a call.
PATIENT = {"peer_deadline": 5.0, "lease_silence": 8.0, "lease": 30.0}


class Upstream(threading.Thread):
    """Answer each name after 50 ms, and count the calls."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.calls = 0
        self.port = tools.free_port()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._answer, "127.0.0.1", self.port) as server:
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = await reader.read(32)
        self.calls += 1
        await asyncio.sleep(0.05)
        writer.write(name * 100)
        writer.close()


def announcements(hub: swarm.Member, members: list[swarm.Member]) -> list[float]:
    """Return the milliseconds until all members have received each of several announcements."""
    took = []
    for _ in range(ROUNDS):
        name = os.urandom(32).hex()
        began = float(members[0].do("hold", size=2_000, name=name)[2])
        time.sleep(0.25)  # each records the time of receipt; polling meanwhile would distort it
        took.append(1e3 * (max(swarm.all_do([hub, *members[1:]], "sees", name=name)) - began))
    return took


def burst(size: int, upstream: Upstream) -> tuple[int, float]:
    """Return calls and seconds for the same cold URLs on all nodes concurrently."""
    with swarm.fleet(size, limits=PATIENT) as (hub, members):
        hub.do("connected", n=size, timeout=60.0)
        time.sleep(SETTLE)
        before, began = upstream.calls, time.monotonic()
        names = [os.urandom(32).hex() for _ in range(URLS)]
        swarm.all_do(members, "want", names=names, port=upstream.port)
        return upstream.calls - before, time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 5, 20, 50])
    options = parser.parse_args()
    upstream = Upstream()
    upstream.start()
    tools.listening(upstream.port)
    most = 0
    for size in options.sizes:
        calls, seconds = burst(size, upstream)
        print(f"{size:3} nodes want {URLS} cold URLs at once: {calls} upstream calls, {seconds:.2f} s")
        most = max(most, calls)
    with swarm.fleet(0) as (alone, _):
        idle = alone.do("report")["rss"]
    with swarm.fleet(PEERS) as (hub, members):
        time.sleep(2 * SETTLE)  # members connect with each other
        grown = hub.do("report")["rss"] - idle
        took = announcements(hub, members)
    print(f"an announcement reaches {PEERS} peers: p50 {swarm.percentile(took, 0.5):.1f} ms")
    return tools.verdict(
        [
            ("upstream calls for a burst of one URL", most / URLS, "<=", 1.0),
            (f"announcement to all of {PEERS} peers, p95 in ms", swarm.percentile(took, 0.95), "<=", ANNOUNCE_MS),
            ("hub memory a connected runner, MB", grown / PEERS / 1e6, "<=", HUB_MB),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
