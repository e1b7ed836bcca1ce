"""The peers: what one node holds, its neighbours can have. libp2p in a thread of its own, asyncio outside."""

from p2pcache.swarm.rules.config import BlockStore, Limits, PeerRow, SwarmConfig, SwarmError, SwarmEvents
from p2pcache.swarm.swarm import Swarm

__all__ = ["BlockStore", "Limits", "PeerRow", "Swarm", "SwarmConfig", "SwarmError", "SwarmEvents"]
