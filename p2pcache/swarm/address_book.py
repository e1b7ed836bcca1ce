"""Members known by address: whom to dial when, and what survives a restart. Pure but for `load` and `save`."""

from __future__ import annotations

import contextlib
import random
import secrets
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from p2pcache.swarm.backoff import Backoff
from p2pcache.swarm.frames import Known
from p2pcache.swarm.multiaddrs import Address, parse

GIVE_UP = 8
_Turns = tuple[tuple[float, float], tuple[float, float]]
_TURNS: _Turns = (0.5, 6.0), (8.0, 12.0)
"""Seconds, from and to, of the first turn and the second: a fleet that starts together first joins its hub and works
through it; links come by and by."""
_HURRIED: _Turns = (0.0, 0.5), (1.0, 1.5)


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
        bound: members remembered; the longest unheard of goes first.
    """

    def __init__(self, me: str, bound: int) -> None:
        self._me = me
        self._bound = bound
        self._entries: OrderedDict[str, AddressRecord] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def learn(self, peer: str, addresses: Iterable[str], now: float) -> None:
        """Somebody says where `peer` can be dialled. What is no address is passed over."""
        usable = tuple(address for text in addresses if (address := _dialable(text, peer)))
        if peer == self._me or not usable:
            return
        entry = self._entries.get(peer)
        if entry is None or entry.addresses != usable:
            self._entries[peer] = AddressRecord(usable, now + self._turn(peer))
        self._entries.move_to_end(peer)
        if len(self._entries) > self._bound:
            self._entries.popitem(last=False)

    def due(self, now: float, connected: Collection[str]) -> list[tuple[str, tuple[Address, ...]]]:
        """Whom to dial now."""
        return [
            (peer, entry.addresses)
            for peer, entry in self._entries.items()
            if entry.due <= now and peer not in connected
        ]

    def hurry(self, now: float) -> None:
        """The last hub is gone, and the links by which members go on without it may not have had their turn yet."""
        for peer, entry in self._entries.items():
            entry.due = min(entry.due, now + self._turn(peer, _HURRIED))

    def failed(self, peer: str, now: float) -> None:
        """It could not be dialled; after several times it is forgotten until somebody names it again."""
        entry = self._entries.get(peer)
        if entry is None:
            return
        entry.due = now + entry.backoff.failed()
        if entry.backoff.failures >= GIVE_UP:
            del self._entries[peer]

    def succeeded(self, peer: str, now: float) -> None:
        """It is connected; should that end, it may be dialled again at once."""
        entry = self._entries.get(peer)
        if entry is not None:
            entry.due = now + self._turn(peer)
            entry.backoff.succeeded()

    def _turn(self, peer: str, turns: _Turns = _TURNS) -> float:
        """Of two members that learn of each other one dials first, the other only if that did not work."""
        return random.uniform(*turns[self._me > peer])  # noqa: S311  # spreads load

    def dump(self) -> bytes:
        """For `load`."""
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


def load(path: Path) -> bytes:
    """What was saved, or nothing."""
    try:
        return path.read_bytes()[: 1 << 20]
    except OSError:
        return b""


def save(path: Path, data: bytes) -> None:
    """Replace the file as a whole; a full or read-only disk costs only the memory of addresses."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
