"""Admission of connections that have not proved membership yet: bounded in all and for each address. Trio side, no I/O.

Neither a stranger that sends nothing nor one that stops half-way keeps a member out. When all places are taken, new
connections wait, at the price of a socket, until a place is given back or one that has been silent for too long
gives way. The last to come goes first: in a crowd that never proves anything a member is let in as soon as a place is
free, not after all that came before it. Nor does one address fill the waiting room: when that is full, the address that
has most there makes room for the others.
"""

from __future__ import annotations

import ipaddress
import math
from collections import Counter
from typing import NoReturn

import trio

from p2pcache.swarm.rules.config import Limits

_LOOKS = 4


class Stranger:
    """One connection that has not proved membership.

    Attributes:
        scope: cancelled when it has to give way or takes too long; without a deadline once it is a member.
        admitted: set when it has a place.
    """

    def __init__(self, admission: Admission, network: str, deadline: float) -> None:
        self.network = network
        self.heard = trio.current_time()
        self.mute = True
        self.scope = trio.CancelScope(deadline=deadline)
        self.admitted = trio.Event()
        self._admission = admission

    def stirred(self) -> None:
        """Note that bytes came."""
        self.mute = False
        self.heard = trio.current_time()

    def leave(self) -> None:
        """Give back its place: it is a member now, or gone."""
        self._admission.leave(self)


class Admission:
    """Gives places to strangers.

    Args:
        limits: how many, for how long.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places: dict[Stranger, None] = {}
        self._waiting: dict[Stranger, None] = {}
        self._taken: Counter[str] = Counter()
        self._crowded = trio.Event()

    def __len__(self) -> int:
        return len(self._places)

    async def run(self) -> NoReturn:
        """Let connections give way while others wait, until cancelled."""
        while True:
            await self._crowded.wait()
            await trio.sleep(self._limits.mute / _LOOKS)
            await trio.lowlevel.checkpoint()  # what has arrived meanwhile is read first, also where this thread is late
            self._admit(displace=True)

    def enter(self, host: str) -> Stranger | None:
        """Let a connection from `host` wait; None when too many do, of its own address more than of any other."""
        now, name = trio.current_time(), network(host)
        full = len(self._waiting) >= self._limits.waiting
        if full and not self._room(name, now, displace=False) and not self._make_way(name):
            return None
        stranger = Stranger(self, name, now + self._limits.handshake_timeout)
        self._waiting[stranger] = None
        self._admit()
        return stranger

    def leave(self, stranger: Stranger) -> None:
        """Free its place, if it has one."""
        stranger.scope.deadline = math.inf
        self._waiting.pop(stranger, None)
        if stranger in self._places:
            self._remove(stranger)
        self._admit()

    def _admit(self, *, displace: bool = False) -> None:
        now = trio.current_time()
        full: set[str] = set()
        for stranger in reversed(list(self._waiting)):
            if stranger.network in full:
                continue
            if not self._room(stranger.network, now, displace):
                full.add(stranger.network)
                continue
            del self._waiting[stranger]
            self._places[stranger] = None
            self._taken[stranger.network] += 1
            stranger.heard = now
            # All steps together: one that sends a byte now and then does not stay for each step's own deadline.
            stranger.scope.deadline = now + 2 * self._limits.handshake_timeout
            stranger.admitted.set()
        if self._waiting:
            self._crowded.set()
        elif self._crowded.is_set():
            self._crowded = trio.Event()

    def _make_way(self, newcomer: str) -> bool:
        """Turn away the oldest that waits of the network with the most; False where that is the newcomer's own."""
        crowd = Counter(stranger.network for stranger in self._waiting)
        [(largest, most)] = crowd.most_common(1)
        if crowd[newcomer] == most:
            return False
        oldest = next(stranger for stranger in self._waiting if stranger.network == largest)
        del self._waiting[oldest]
        oldest.scope.cancel()
        return True

    def _room(self, network: str, now: float, displace: bool) -> bool:
        """Return whether one more of `network` has a place; if need be that of one that has been silent for long."""
        crowd: list[Stranger]
        if self._taken[network] >= self._limits.handshakes_per_address:
            crowd = [stranger for stranger in self._places if stranger.network == network]
        elif len(self._places) >= self._limits.handshakes:
            crowd = list(self._places)
        else:
            return True
        silent = min(crowd, key=self._due)
        if not displace or now < self._due(silent):
            return False
        self._remove(silent)
        silent.scope.cancel()
        return True

    def _due(self, stranger: Stranger) -> float:
        """Return when it is to give way, unless it sends something."""
        return stranger.heard + (self._limits.mute if stranger.mute else self._limits.stalled)

    def _remove(self, stranger: Stranger) -> None:
        del self._places[stranger]
        self._taken -= Counter([stranger.network])


def network(host: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 in which one IPv6 host can choose."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
