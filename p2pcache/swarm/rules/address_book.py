"""Members known by address: which to dial when, and what survives a restart. Pure; the caller's clock."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

from p2pcache.addresses import Address, parse
from p2pcache.bounded import Bounded
from p2pcache.swarm.rules.backoff import Backoff
from p2pcache.swarm.rules.config import DialTurns

GIVE_UP = 8
_HURRIED: DialTurns = (0.0, 0.5), (1.0, 1.5)

PeerName = Annotated[str, Meta(min_length=40, max_length=64, pattern="^[1-9A-HJ-NP-Za-km-z]+$")]
Addresses = Annotated[tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=8)]


class Known(msgspec.Struct, frozen=True, array_like=True):
    """A member and where it can be dialled (nowhere: only through the member that named it)."""

    peer: PeerName
    addresses: Addresses


@dataclass(slots=True)
class AddressRecord:
    """A member that can perhaps be dialled; `due` in the caller's clock."""

    addresses: tuple[Address, ...]
    due: float
    backoff: Backoff = field(default_factory=lambda: Backoff(first=1.0, ceiling=60.0))


class AddressBook:
    """The address book.

    Args:
        me: this node's peer id, which is never listed.
        bound: members remembered; the one named longest ago goes first.
        turns: how long to wait before a dial.
    """

    def __init__(self, me: str, bound: int, turns: DialTurns) -> None:
        self._me = me
        self._bound = bound
        self._turns = turns
        self._entries: Bounded[str, AddressRecord] = Bounded(bound)

    def __len__(self) -> int:
        return len(self._entries)

    def learn(self, peer: str, addresses: Iterable[str], now: float) -> None:
        """Note where `peer` can be dialled, as another member names it. What is no address is passed over."""
        usable = tuple(address for text in addresses if (address := _dialable(text, peer)))
        if peer == self._me or not usable:
            return
        entry = self._entries.get(peer)
        known = entry is not None and entry.addresses == usable
        self._entries[peer] = entry if entry and known else AddressRecord(usable, now + self._turn(peer, self._turns))

    def due(self, now: float, connected: Collection[str]) -> list[tuple[str, tuple[Address, ...]]]:
        """Return the members to dial now, and their addresses."""
        return [
            (peer, entry.addresses)
            for peer, entry in self._entries.items()
            if entry.due <= now and peer not in connected
        ]

    def hurry(self, now: float) -> None:
        """Bring all dials forward: the last hub is gone, and members need links of their own to go on without it."""
        for peer, entry in self._entries.items():
            entry.due = min(entry.due, now + self._turn(peer, _HURRIED))

    def failed(self, peer: str, now: float) -> None:
        """Count a dial that failed; after several the member is forgotten until it is named again."""
        entry = self._entries.get(peer)
        if entry is None:
            return
        entry.due = now + entry.backoff.failed()
        if entry.backoff.failures >= GIVE_UP:
            del self._entries[peer]

    def succeeded(self, peer: str, now: float) -> None:
        """Forget earlier failures: should the connection end, it may be dialled again at once."""
        entry = self._entries.get(peer)
        if entry is not None:
            entry.due = now + self._turn(peer, self._turns)
            entry.backoff.succeeded()

    def _turn(self, peer: str, turns: DialTurns) -> float:
        """Of two members that learn of each other one dials first, the other only if that did not work."""
        return random.uniform(*turns[self._me > peer])  # noqa: S311  # spreads load

    def dump(self) -> bytes:
        """Return the book as JSON, for `restore`."""
        known = [Known(peer, tuple(str(a) for a in entry.addresses)) for peer, entry in self._entries.items()]
        return msgspec.json.encode(known)

    def restore(self, data: bytes, now: float) -> None:
        """Read what `dump` gave; a damaged file is as good as none."""
        with contextlib.suppress(msgspec.DecodeError):
            for known in msgspec.json.decode(data, type=list[Known])[-self._bound :]:
                self.learn(known.peer, known.addresses, now)


def _dialable(text: str, peer: str) -> Address | None:
    try:
        address = parse(text if "/p2p/" in text else f"{text}/p2p/{peer}")
    except ValueError:
        return None
    return address if address.peer == peer else None
