"""A client for the control endpoints of the node on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from p2pcache.gateway.ask import NodeError, ask
from p2pcache.settings import ClientSettings

CONTROL_SECONDS = 5.0


class NodeNotFoundError(ConnectionError):
    """No node answers where one was expected."""


def get_global_cache() -> RunningNode:
    """Return the node that the environment names, running or not."""
    return RunningNode(ClientSettings.from_env().socket)


class RunningNode:
    """The control endpoints of a node on this machine (docs/interface.md#control-endpoints)."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """The node's socket.

        Raises:
            NodeNotFoundError: the environment names no node.
        """
        if self._path is None:
            raise NodeNotFoundError(self.absence)
        return self._path

    @property
    def absence(self) -> str:
        """The sentence for a node that does not answer."""
        if self._path is None:
            return 'P2PCACHE_SOCKET is not set (start a node with: eval "$(p2pcache up)")'
        return f'no p2pcache node answers at {self._path} (start one with: eval "$(p2pcache up)")'

    def answers(self) -> bool:
        """Return whether the node serves requests now."""
        try:
            return self._get("/-/healthz").get("status") in ("ok", "degraded")
        except NodeNotFoundError:
            return False

    def stats(self) -> dict[str, Any]:
        """Return the node's ledger (docs/interface.md#the-ledger).

        Raises:
            NodeNotFoundError: no node answers within 5 s.
        """
        return self._get("/-/stats")

    def _get(self, path: str) -> dict[str, Any]:
        try:
            return ask(str(self.path), path, CONTROL_SECONDS)
        except NodeError as error:
            raise NodeNotFoundError(f"{self.absence}: {error}") from error
