"""The leases that this node arbitrates: `cache.arbiter` for the fleet. Trio side."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import trio

from p2pcache.cache.arbiter import Arbiter, Claim, Ruling, Verdict
from p2pcache.cache.entry import Pointer
from p2pcache.clock import unix_time
from p2pcache.swarm.protocol.frames import Acquire, Free, Grant, Queued, Release, received, wire
from p2pcache.swarm.rules.directory import Directory
from p2pcache.swarm.services.activity import GRANTED
from p2pcache.swarm.services.members import Members
from p2pcache.swarm.services.session import Session

_UNSIGNED = bytes(64)
"""Where an arbiter holds the lease itself, a signature of its own would show nothing."""


class LeaseArbiter:
    """Decides claims of members and of this node.

    Args:
        members: the open sessions.
        directory: learns what a holder released.
        own: gets the rulings on claims of this node.
    """

    def __init__(self, members: Members, directory: Directory, own: Callable[[Ruling[Pointer]], None]) -> None:
        limits = members.limits
        self._members = members
        self._directory = directory
        self._own = own
        self._state: Arbiter[Pointer] = Arbiter(limits.lease, limits.leases, limits.leases_per_peer, limits.distrust)

    def __len__(self) -> int:
        return len(self._state)

    def peers(self) -> set[str]:
        """Return the peers that hold or wait: those whose silence matters."""
        return self._state.peers()

    def ask(self, claim: Claim, resource: bytes, scope: bytes, exclude: Collection[str] = ()) -> None:
        """Take a claim; see `cache.arbiter`."""
        self._deliver(self._state.ask(claim, resource, scope, trio.current_time(), exclude))

    def end(self, claim: Claim, release: Release) -> None:
        """Take the end of a claim."""
        now = trio.current_time()
        if release.undone:
            self._deliver(self._state.abandon(claim, now))
        else:
            self._deliver(self._state.release(claim, release.pointer, now))

    def lose(self, peers: Collection[str], now: float) -> None:
        """Pass on what these peers hold: they cannot be relied on."""
        self._deliver(self._state.gone(peers, now))

    def expire(self, now: float) -> None:
        """Pass on what was held for too long."""
        self._deliver(self._state.expire(now))

    def forget(self) -> None:
        """Forget what holders released: something was dropped."""
        self._state.forget_results()

    def on_acquire(self, session: Session, frame: Acquire) -> None:
        """Take the claim of a peer."""
        self.ask(Claim(session.peer, frame.id, frame.at, frame.signature), frame.resource, frame.scope, frame.exclude)

    def on_release(self, session: Session, frame: Release) -> None:
        """End the claim of a peer, which may point to no other resource than it held."""
        claim = Claim(session.peer, frame.id)
        pointer = frame.pointer
        if pointer is not None and self._state.holding(claim) != (pointer.name, pointer.scope):
            pointer = None
        learned = learn(self._members, self._directory, session, pointer, session.peer)
        self.end(claim, Release(frame.id, wire(learned), frame.undone))

    def _deliver(self, rulings: Iterable[Ruling[Pointer]]) -> None:
        for ruling in rulings:
            if ruling.verdict is Verdict.GRANT:
                self._members.activity.count(GRANTED)
            if ruling.claim.peer == self._members.me:
                self._own(ruling)
            else:
                self._members.send(ruling.claim.peer, _frame(ruling))


def _frame(ruling: Ruling[Pointer]) -> Grant | Queued | Free:
    token = ruling.claim.token
    if (asking := ruling.asking) is not None:
        return Queued(token, asking.peer, asking.at, asking.signature or _UNSIGNED)
    kind = Grant if ruling.verdict is Verdict.GRANT else Free
    return kind(token, ruling.result, ruling.holder)


def learn(
    members: Members, directory: Directory, session: Session, pointer: Pointer | None, holder: str
) -> Pointer | None:
    """Enter a pointer that `holder` released and return it by this node's clock.

    The block can be had from the holder where it is connected, else from the peer that sent the pointer.
    """
    if pointer is None:
        return None
    learned = received(pointer, session.member.skew, unix_time())
    if holder != members.me:
        directory.add(learned, holder if holder in members else session.peer, announced=False)
    return learned
