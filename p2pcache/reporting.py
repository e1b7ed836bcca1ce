"""What a node reports of itself: its statistics, and the file in which its counts outlive it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from p2pcache import __version__, files
from p2pcache.cache.library import Library
from p2pcache.clock import unix_time
from p2pcache.github.trial import RuleTrial
from p2pcache.health import Health
from p2pcache.ledger.ledger import Ledger
from p2pcache.ledger.stats import About, StoreStats

if TYPE_CHECKING:
    from p2pcache.swarm import Swarm

STATS_SECONDS = 1.0
MEASURE_SECONDS = 5.0


class Reporting:
    """Puts together the statistics of a node's parts.

    Args:
        upstream: the API behind it.
        ledger: what was counted.
        library: what is kept.
        swarm: its peers, if it has any.
        trial: what is known of the ETag rule.
        health: what is wrong.
    """

    def __init__(
        self,
        upstream: str,
        ledger: Ledger,
        library: Library,
        swarm: Swarm | None,
        trial: RuleTrial,
        health: Health,
    ) -> None:
        self._upstream = upstream
        self._ledger = ledger
        self._library = library
        self._disk = library.store
        self._swarm = swarm
        self._trial = trial
        self._health = health
        self._stored = (0, 0)
        self._started = time.monotonic()

    def stats(self, p2p: str) -> dict[str, Any]:
        """Return the ledger with peers and quotas of now; `p2p` is the swarm's state as the ready file has it."""
        if self._swarm is not None:
            rows = self._swarm.peers()
            connected = sum(row.via == "direct" and row.state in ("hub", "member", "slow") for row in rows)
            behind = sum(row.state == "relayed" for row in rows)
            self._ledger.peers(connected, connected + behind, self._swarm.activity())
        self._ledger.store = self._store()
        self._ledger.about = self._about(p2p)
        stats = self._ledger.stats()
        stats["stores"] = [{"name": tier.backend.detail, **tier.report()} for tier in self._library.remotes]
        stats["etag_rule"] = self._trial.summary(time.monotonic())
        if self._swarm is not None:
            for name, count in self._swarm.counters().items():
                stats["errors"][name] = stats["errors"].get(name, 0) + count
        return stats

    async def measure(self) -> None:
        """Measure how much is stored, again and again, so that a report need not ask the disk."""
        while self._disk is not None:
            self._stored = await self._disk.usage()
            await asyncio.sleep(MEASURE_SECONDS)

    def _store(self) -> StoreStats:
        memory, errors = self._library.memory, self._disk.errors if self._disk else 0
        return StoreStats(len(memory), memory.bytes, *self._stored, errors)

    def _about(self, p2p: str) -> About:
        uptime = time.monotonic() - self._started
        started = round(unix_time() - uptime, 3)
        return About(__version__, self._upstream, started, round(uptime, 3), self._health.reasons(p2p))


async def keep(path: Path, stats: Callable[[], Mapping[str, Any]], every: float = STATS_SECONDS) -> None:
    """Write the counts where a node that replaces this one finds them; never returns."""
    last = -1
    while True:
        await asyncio.sleep(every)
        now = stats()
        if now["requests"] != last:
            last = now["requests"]
            await asyncio.to_thread(write_json, path, now)


def restored(path: Path | None) -> Ledger:
    """Return a ledger that goes on where a node that died stopped."""
    if path is not None:
        with contextlib.suppress(OSError, ValueError, msgspec.DecodeError):
            return Ledger.restore(msgspec.json.decode(path.read_bytes()))
    return Ledger()


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON so that a reader sees the whole of it or what was there before."""
    files.replace(path, msgspec.json.encode(value))
