"""Client connections that survive `kill -9` of the node: an optional part of the gateway.

The supervisor (`runner/watch.py`) keeps a duplicate of every connection's descriptor, and hands it to the next node.
A journal in memory that both share holds the request that each connection waits for (`journal`); the next node makes
it again, or ends the connection with a sentence where that could do harm (`takeover`).

A memory hit leaves no mark: it is parsed and answered within one callback, so the journal only names the one
connection whose bytes are in that callback. A kill in it closes that connection without an answer, and so does one
while an answer is being written. What remains are the microseconds in which no note can be made: a connection that
was accepted in the very step before dies with the node; where bytes were read and not yet noted, TCP's own count of
them shows it, except on an idle connection. There, and on a unix socket, which counts nothing, the client is closed
once it has waited for as long as a head may take.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from p2pcache.gateway.protocol import Front
from p2pcache.gateway.survival.acceptor import Acceptor
from p2pcache.gateway.survival.held_connection import HeldConnection
from p2pcache.gateway.survival.journal import Journal
from p2pcache.gateway.survival.takeover import take_over


class Survival:
    """The node's side of it.

    Args:
        journal: the one shared with the supervisor.
        inherited: slot and descriptor of each connection of the node before.
    """

    def __init__(self, journal: Journal, inherited: Sequence[tuple[int, int]]) -> None:
        self._journal = journal
        self._inherited = inherited
        self._acceptor: Acceptor | None = None

    @classmethod
    def inherit(cls, channel: int, memory: int, inherited: Sequence[tuple[int, int]]) -> Survival:
        """Take the supervisor's descriptors over.

        Raises:
            OSError: they are not what they should be.
        """
        return cls(Journal.inherit(channel, memory), inherited)

    async def start(self, listeners: Sequence[socket.socket], front: Front) -> None:
        """Accept connections, and take over those of the node before."""
        self._acceptor = Acceptor(
            listeners, self._journal, lambda adopted: HeldConnection(self._journal, adopted, front)
        )
        await take_over(self._journal, self._journal.adopt(self._inherited), self._acceptor.serve)

    def close(self) -> None:
        """Accept no more connections."""
        if self._acceptor is not None:
            self._acceptor.close()
