"""What the swarm needs of a transport: authenticated byte streams between two peer ids. Trio side."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, Protocol

from p2pcache.addresses import Address


class DialStep(enum.StrEnum):
    """The steps from an address to a member that answers, in order."""

    NAME = "name"
    TCP = "tcp"
    NOISE = "noise"
    PEER_ID = "peer id"
    PROTOCOL = "protocol"
    MEMBERSHIP = "membership"
    ROUND_TRIP = "round trip"


class LinkError(Exception):
    """The link cannot be made, or broke. The message holds nothing a peer sent.

    Attributes:
        step: of dialling, the one that failed; None for a link that was made.
    """

    def __init__(self, message: str, step: DialStep | None = None) -> None:
        super().__init__(message)
        self.step = step


class Link(Protocol):
    """One long-lived stream to a peer whose id the transport has verified."""

    peer: str
    address: str
    dialled: bool

    async def read(self) -> bytes:
        """Return some bytes, or b"" when there will be no more. Raises `LinkError`."""
        ...

    async def write(self, data: bytes) -> None:
        """Write all of `data`. Raises `LinkError`. Not to be used by two tasks at once."""
        ...

    def trust(self) -> None:
        """Lift the bound on what a stranger may send: the peer is a member."""
        ...


class Host(Protocol):
    """A transport endpoint with an identity."""

    peer: str

    async def bind(self, *, any_port: bool = False) -> Address:
        """Begin to listen and return where: at the configured port, or at any free one. Raises `SwarmError`."""
        ...

    async def serve(self, handler: Callable[[Link], Awaitable[None]]) -> NoReturn:
        """Accept until cancelled; a link lives as long as its `handler` runs."""
        ...

    def dial(self, address: Address) -> AbstractAsyncContextManager[Link]:
        """Make a link to the peer that listens there, which `address.peer`, if given, has to be. Raises `LinkError`."""
        ...
