"""What is wrong with a node that answers all the same: the reasons of ``/-/healthz``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from p2pcache.cache.tiers import Remote, Store
from p2pcache.gateway.http_upstream import HttpUpstream

if TYPE_CHECKING:
    from p2pcache.swarm import Swarm

ALONE_SECONDS = 60.0
"""How long a node that is configured with peers may be without one before that is reported."""


class Health:
    """Looks at the parts of a node.

    Args:
        disk: its store, if it has one.
        services: its tiers behind a service.
        upstream: its way to GitHub.
        swarm: its peers, if it has any.
        expects_peers: the configuration names peers; a hub that waits for members is well without them.
    """

    def __init__(
        self,
        disk: Store | None,
        services: Sequence[Remote],
        upstream: HttpUpstream,
        swarm: Swarm | None,
        *,
        expects_peers: bool,
    ) -> None:
        self._disk = disk
        self._services = services
        self._upstream = upstream
        self._swarm = swarm if expects_peers else None

    def reasons(self, p2p: str) -> list[str]:
        """Return one sentence for each thing that is wrong; `p2p` is the swarm's state as the ready file has it."""
        services = (tier.trouble for tier in self._services)
        disk = self._disk.trouble if self._disk else ""
        found = [disk, *services, self._alone(p2p), self._upstream.unreachable]
        return [reason for reason in found if reason]

    def _alone(self, p2p: str) -> str:
        if p2p.startswith("failed"):
            return f"peer to peer {p2p}"
        seconds = self._swarm.alone_for() if self._swarm else 0.0
        return f"no peer for {seconds:.0f} s" if seconds > ALONE_SECONDS else ""
