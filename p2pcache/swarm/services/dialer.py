"""What this node dials: bootstrap peers for ever, members that others name while it has few links. Trio side."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import trio

from p2pcache import files
from p2pcache.addresses import Address
from p2pcache.swarm.rules.address_book import AddressBook
from p2pcache.swarm.rules.admitted import TokenSource, TokenUnavailableError
from p2pcache.swarm.rules.backoff import Backoff
from p2pcache.swarm.rules.peer_warnings import AGAIN
from p2pcache.swarm.rules.reasons import QUIET, Ended, Reason
from p2pcache.swarm.services.link import Host, Link, LinkError
from p2pcache.swarm.services.local_node import LocalNode
from p2pcache.swarm.services.members import Members

log = logging.getLogger(__name__)

_TICK = 0.25
_AT_ONCE = 4


class Dialer:
    """Dials, and dials again.

    Args:
        host: the transport.
        members: those that are connected already.
        book: where members can be dialled.
        node: logs each reason once that a bootstrap peer cannot be used for.
        meet: runs a session over a link, with an OIDC token or "", and returns how it ended.
        token: gives one for each time that a hub is dialled; None: this node needs none.
    """

    def __init__(
        self,
        host: Host,
        members: Members,
        book: AddressBook,
        node: LocalNode,
        meet: Callable[[Link, str], Awaitable[Ended]],
        token: TokenSource | None = None,
    ) -> None:
        self._host = host
        self._members = members
        self._book = book
        self._node = node
        self._meet = meet
        self._token = token
        self._admitting: set[str] = set()
        """Hubs that want a token."""
        self._dialling: set[str] = set()
        self._links = 0

    async def bootstrap(self, address: Address) -> NoReturn:
        """Keep a connection to the peer at a bootstrap address."""
        backoff = Backoff()
        latest = ""
        logged: dict[str, float] = {}
        while True:
            try:
                token = await self._token_for(address)
                async with self._host.dial(address) as link:
                    peer = link.peer
                    self._members.unreached.pop(address, None)
                    self._members.add_bootstrap(peer)
                    ended = await self._meet(link, token)
            except LinkError as error:
                ended, peer, why = Ended(Reason.BROKEN), "", str(error)
                self._members.unreached[address] = why
                log.debug("bootstrap %s: %s", address, why)
            else:
                why = str(ended)
            if ended.reason is Reason.ITSELF:
                await trio.sleep_forever()
            if ended.met:
                backoff.succeeded()
                latest = ""
            elif why != latest and ended.reason not in QUIET:
                latest = why
                now = trio.current_time()
                if now - logged.get(why, -AGAIN) >= AGAIN:
                    logged[why] = now
                    self._node.warn(f"bootstrap {address}: {why}; it is tried again in the background")
            await trio.sleep(backoff.failed())
            while (session := self._members.get(peer)) is not None:  # it dialled us, or has another address
                await session.closed.wait()

    async def _token_for(self, address: Address) -> str:
        """Return a new OIDC token for the hub there, since each is accepted once; "" if this node needs none.

        Raises:
            LinkError: there is none to be had.
        """
        if self._token is None or not address.peer:
            return ""
        self._admitting.add(address.peer)
        try:
            return await self._token(address.peer, self._members.me)
        except TokenUnavailableError as error:
            raise LinkError(str(error)) from None

    async def explore(self) -> NoReturn:
        """Link up with members that others name, a few at a time."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(_TICK)
                now = trio.current_time()
                for peer, addresses in self._book.due(now, self._members.peers() | self._admitting):
                    if len(self._dialling) >= min(_AT_ONCE, self._wanted() - self._links):
                        break
                    if peer not in self._dialling:
                        self._dialling.add(peer)
                        nursery.start_soon(self._explore, peer, addresses)

    def _wanted(self) -> int:
        limits = self._members.limits
        return limits.links_beside_hub if self._members.hubs() else limits.links

    async def _explore(self, peer: str, addresses: tuple[Address, ...]) -> None:
        """Dial one address after the other: some are only reachable from elsewhere."""
        for address in addresses:
            try:
                async with self._host.dial(address) as link:
                    self._dialling.discard(peer)
                    self._links += 1
                    try:
                        ended = await self._meet(link, "")
                    finally:
                        self._links -= 1
            except LinkError as error:
                log.debug("%s of %s: %s", address, peer, error)
                continue
            if ended.met:
                self._book.succeeded(peer, trio.current_time())
                return
        self._dialling.discard(peer)
        self._book.failed(peer, trio.current_time())

    async def remember(self, path: Path) -> NoReturn:
        """Keep the address book on disk."""
        saved = b""
        while True:
            await trio.sleep(self._members.limits.save_interval)
            dump = self._book.dump()
            if dump != saved:
                saved = dump
                # A full or read-only disk costs only the memory of addresses.
                with contextlib.suppress(OSError):
                    await trio.to_thread.run_sync(files.replace, path, dump, files.PRIVATE)
