"""A stand-in GitHub and in-memory peers: product code for tests and `p2pcache demo`.

async with StandIn() as github:
    github.repository("octo/app", issues=45)
    github.token("ghs_1", repos=["octo/app"])
    ...  # talk to github.url
    assert github.charged("ghs_1") == 1
"""

from __future__ import annotations

from p2pcache.testing.faults import Call, Fault
from p2pcache.testing.judge import Verdict
from p2pcache.testing.peers import MemoryPeer, MemorySwarm
from p2pcache.testing.standin import StandIn

__all__ = ["Call", "Fault", "MemoryPeer", "MemorySwarm", "StandIn", "Verdict"]
