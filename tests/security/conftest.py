"""Fixtures of the attacks: real sockets, the stand-in GitHub, and an upstream that answers as a test says."""

from tests.support.gateway import client, elsewhere, github, node, upstream

__all__ = ["client", "elsewhere", "github", "node", "upstream"]
