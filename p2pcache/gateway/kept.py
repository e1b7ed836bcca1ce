"""A client connection that outlives the node: `protocol`'s, with every step noted in the journal of `keeper`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from p2pcache.gateway.keeper import Adopted, Keeper
from p2pcache.gateway.protocol import GatewayProtocol
from p2pcache.gateway.wire import Wire


class KeptProtocol(GatewayProtocol):
    """One client connection that the supervisor holds, too."""

    keeper: Keeper
    adopted: Adopted
    _wire: Wire | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """A client connects, or is taken up: then what it asked comes before anything it says from now on."""
        self._wire = wire = self._hold(transport)
        super().connection_made(wire or transport)  # type: ignore[arg-type]  # it hands on what it does not do itself
        if not self.adopted.received:
            return
        if wire is not None:
            wire.replayed()
        super().data_received(self.adopted.received)
        if wire is not None:
            wire.fed()

    def _hold(self, transport: asyncio.Transport) -> Wire | None:
        """The connection's wire; None when it cannot be held and ends with this node."""
        slot = self.adopted.slot
        if slot is None:
            return None
        try:
            duplicate = self.adopted.connection.dup()
        except OSError:  # no descriptor left
            self.keeper.let_go(slot)
            return None
        return Wire(transport, self.keeper, slot, duplicate)

    def data_received(self, data: bytes) -> None:
        """Note, then feed the parser."""
        if self._wire is None:
            super().data_received(data)
            return
        self._wire.received(data)
        super().data_received(data)
        self._wire.fed()

    def on_message_begin(self) -> None:
        """A request begins, or its head is parsed again."""
        if self._wire is not None and not self._upgrading:
            self._wire.begun()
        super().on_message_begin()

    def _extensions(self) -> dict[str, Callable[[], object]]:
        """For `Exchange`: it knows which requests must not be made twice."""
        more = {} if self._wire is None else {"unsafe": self._wire.unsafe}
        return {**super()._extensions(), **more}

    def on_response_complete(self) -> None:
        """An answer is complete."""
        if self._wire is not None:
            self._wire.answered()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went away, or was sent away."""
        if self._wire is not None:
            self._wire.lost()
        super().connection_lost(exc)
