"""Whom this node dials: bootstrap peers for ever, members it hears of while it has few links. Trio side."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import trio

from p2pcache.swarm import address_book
from p2pcache.swarm.address_book import AddressBook
from p2pcache.swarm.backoff import Backoff
from p2pcache.swarm.complaints import AGAIN
from p2pcache.swarm.link import Host, Link, LinkError
from p2pcache.swarm.members import QUIET, Members
from p2pcache.swarm.multiaddrs import Address
from p2pcache.swarm.outside import Outside
from p2pcache.swarm.reasons import Ended, Reason

log = logging.getLogger(__name__)

_TICK = 0.25
_AT_ONCE = 4
_SAVE = 2.0


class Dialer:
    """Dials, and dials again.

    Args:
        host: the transport.
        members: who is connected already.
        book: where members can be dialled.
        outside: told once of each reason a bootstrap peer cannot be used for.
        meet: runs a session over a link, returns how it ended.
    """

    def __init__(
        self,
        host: Host,
        members: Members,
        book: AddressBook,
        outside: Outside,
        meet: Callable[[Link], Awaitable[Ended]],
    ) -> None:
        self._host = host
        self._members = members
        self._book = book
        self._outside = outside
        self._meet = meet
        self._dialling: set[str] = set()
        self._links = 0

    async def bootstrap(self, address: Address) -> NoReturn:
        """Keep a connection to whoever is there."""
        backoff = Backoff()
        told = ""
        said: dict[str, float] = {}
        while True:
            try:
                async with self._host.dial(address) as link:
                    peer = link.peer
                    self._members.unreached.pop(address, None)
                    self._members.choose(peer)
                    ended = await self._meet(link)
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
                told = ""
            elif why != told and ended.reason not in QUIET:
                told = why
                now = trio.current_time()
                if now - said.get(why, -AGAIN) >= AGAIN:
                    said[why] = now
                    self._outside.warn(f"bootstrap {address}: {why}; it is tried again in the background")
            await trio.sleep(backoff.failed())
            while (session := self._members.get(peer)) is not None:  # it dialled us, or has another address
                await session.closed.wait()

    async def explore(self) -> NoReturn:
        """Link up with members that others name, a few at a time."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(_TICK)
                now = trio.current_time()
                for peer, addresses in self._book.due(now, self._members.peers()):
                    if len(self._dialling) >= min(_AT_ONCE, self._wanted() - self._links):
                        break
                    if peer not in self._dialling:
                        self._dialling.add(peer)
                        nursery.start_soon(self._explore, peer, addresses)

    def _wanted(self) -> int:
        limits = self._members.limits
        return limits.links_beside_hub if self._members.hubs() else limits.links

    async def _explore(self, peer: str, addresses: tuple[Address, ...]) -> None:
        """One address after the other: some are only reachable from elsewhere."""
        for address in addresses:
            try:
                async with self._host.dial(address) as link:
                    self._dialling.discard(peer)
                    self._links += 1
                    try:
                        ended = await self._meet(link)
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
            await trio.sleep(_SAVE)
            dump = self._book.dump()
            if dump != saved:
                saved = dump
                await trio.to_thread.run_sync(address_book.save, path, dump)
