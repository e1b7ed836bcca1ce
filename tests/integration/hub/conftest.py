"""The gateway's fixtures, for what a hub serves beside."""

from tests.support.gateway import client, github, node, upstream

__all__ = ["client", "github", "node", "upstream"]
