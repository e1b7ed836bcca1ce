"""Outputs of the Action and the variables that carry them, for later steps and for a shell.

Imports nothing: a job without an environment needs it too.
"""

from __future__ import annotations

NODE_EXPORTS = {
    "api-url": "P2PCACHE_API_URL",
    "graphql-url": "P2PCACHE_GRAPHQL_URL",
    "socket": "P2PCACHE_SOCKET",
    "peer-id": "P2PCACHE_PEER_ID",
    "multiaddr": "P2PCACHE_MULTIADDR",
}
"""Outputs of the Action that a node determines, and the variables that ``p2pcache up`` exports for them."""
JOB_EXPORTS = NODE_EXPORTS | {"network-mode": "P2PCACHE_NETWORK_MODE", "bootstrap-peers": "CACHE_BOOTSTRAP_PEERS"}
"""Outputs of the Action that later steps get as variables too."""
