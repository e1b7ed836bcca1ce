"""One upstream call for the fleet: this node's claims, and the arbiters it asks. Trio side.

The hub arbitrates, or without one the member that rendezvous hashing names. Two nodes that see different members may
choose different arbiters: that costs a second call, never a wait. An arbiter that does not answer, or falls silent,
is passed over within a second.

A member can claim that another asks although none does. It is believed for one peer deadline, and for longer when it
shows the signature of another that asks. Where it claims so of itself, a second arbiter is asked meanwhile: of two
members that both claim to ask, one does.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection
from typing import NoReturn

import trio

from p2pcache.cache.arbiter import Claim, Ruling, Verdict, choose
from p2pcache.cache.entry import Pointer
from p2pcache.clock import unix_time
from p2pcache.swarm.protocol.frames import Acquire, Free, Grant, Queued, Release, wire
from p2pcache.swarm.rules import statements
from p2pcache.swarm.rules.claims import ClaimState, FreedClaims, OwnClaim
from p2pcache.swarm.rules.directory import Directory
from p2pcache.swarm.rules.identity import Identity, signed
from p2pcache.swarm.services.lease_arbiter import LeaseArbiter, learn
from p2pcache.swarm.services.local_node import LocalNode
from p2pcache.swarm.services.members import Members
from p2pcache.swarm.services.session import Session

_BEAT = 0.2
_SHUN = 5.0
_HOLDERS_FIRST = 0.02
_EXCLUDED = 8
"""Peers that a claim names because their blocks cannot be had."""
_UNANSWERED = 1
"""Arbiters that do not answer at all and are passed over; after that none is asked."""
_DOUBTS = 3
"""Times in a row that an arbiter had nothing to show and never came back to it, before it is shunned."""
_SHUN_DOUBTED = 60.0
_CLOCKS = 5.0
"""Seconds by which the clocks of two members that have not met may differ."""
_STATES = {Verdict.GRANT: ClaimState.HOLDING, Verdict.WAIT: ClaimState.WAITING, Verdict.FREE: ClaimState.FREED}


class LeaseClient:
    """Claims of this node.

    Args:
        members: the peers that could arbitrate.
        directory: learns what a holder released.
        node: has to show that it is at work on what it holds a lease for.
        me: signs that it asks.

    Attributes:
        arbiter: the leases this node arbitrates.
    """

    def __init__(self, members: Members, directory: Directory, node: LocalNode, me: Identity) -> None:
        self._members = members
        self._me = me
        self._limits = members.limits
        self._directory = directory
        self._node = node
        self.arbiter = LeaseArbiter(members, directory, self._on_ruling)
        self._claims: dict[int, OwnClaim] = {}
        self._tokens = itertools.count(1)
        self._busy = trio.Event()
        self._watched: dict[str, float] = {}
        self._shunned: dict[str, float] = {}
        self._doubts: Counter[str] = Counter()
        self._freed = FreedClaims(self._limits.leases)

    async def run(self) -> NoReturn:
        """While leases are out: keep in touch with the peers concerned, and give up the silent ones."""
        while True:
            while not (self._claims or len(self.arbiter)):
                self._watched.clear()
                self._busy = trio.Event()
                await self._busy.wait()
            self._beat(trio.current_time())
            await trio.sleep(_BEAT)

    def _beat(self, now: float) -> None:
        concerned = self.arbiter.peers() | {claim.arbiter for claim in self._claims.values()}
        concerned.discard(self._members.me)
        self._watched = {peer: self._watched.get(peer, now) for peer in concerned}
        silent = set()
        for peer, since in self._watched.items():
            session = self._members.get(peer)
            if session is None or now - max(session.connection.heard, since) > self._limits.lease_silence:
                silent.add(peer)
            else:
                session.ping()
        self._lose(silent, now)
        self.arbiter.expire(now)
        # A node that hangs, though its swarm's thread does not, is as good as dead to those that wait for it. It may
        # have hung a beat before it was asked.
        hung = self._node.silence() > self._limits.lease_silence - _BEAT
        for token in [token for token, claim in self._claims.items() if hung and claim.state is ClaimState.HOLDING]:
            self.abandon(token)

    def _lose(self, peers: Collection[str], now: float) -> None:
        """Give up peers that cannot be relied on: as holders they lose the lease, as arbiters the claims they have."""
        self._shunned = {peer: until for peer, until in self._shunned.items() if until > now}
        self._shunned |= dict.fromkeys(peers, now + _SHUN)
        self.arbiter.lose(peers, now)
        for token, claim in list(self._claims.items()):
            if claim.arbiter not in peers:
                continue
            if claim.state is ClaimState.HOLDING:
                self._move(token, claim)
            elif claim.state is not ClaimState.FREED:
                claim.become(ClaimState.LOST)

    def _move(self, token: int, claim: OwnClaim) -> None:
        """Report a lease that is held already to the next arbiter, so that the others go on waiting for it."""
        claim.arbiter = self._choose(claim.resource)
        if claim.arbiter == self._members.me:
            self.arbiter.ask(Claim(self._members.me, token), claim.resource, claim.scope)
        else:
            self._members.send(claim.arbiter, self._frame(token, claim))

    def _frame(self, token: int, claim: OwnClaim) -> Acquire:
        at = unix_time()
        signature = self._me.sign(statements.ask(claim.resource, at, claim.arbiter))
        return Acquire(token, claim.resource, claim.scope, at, signature, claim.exclude)

    def on_leave(self, session: Session) -> None:
        """Give up a peer that is gone."""
        self._lose({session.peer}, trio.current_time())

    def on_join(self, session: Session) -> None:
        """Ask a peer again that may have been silent before."""
        self._shunned.pop(session.peer, None)

    async def acquire(self, resource: bytes, scope: bytes, again: bool = False, caller: object = None) -> int | None:
        """Return the token of a lease to `release` or `abandon`, or None: another asked meanwhile and is done.

        Waits at most `Limits.lease` seconds in all.

        Args:
            resource: the name of what is wanted.
            scope: for which scope.
            again: what the other released cannot be had. None at once if it released nothing.
            caller: see `forsake`.
        """
        freed = self._freed.take(resource, scope)
        if again and freed == "":
            return None
        exclude = self._excluded(resource, freed) if again else ()
        given: int | None = None
        passed_over = 0
        doubted: dict[str, int] = {}
        try:
            with trio.move_on_after(self._limits.lease):
                while True:
                    token, turn = next(self._tokens), _Turn()
                    arbiter = self._choose(resource, doubted)
                    claim = self._claims[token] = OwnClaim(arbiter, resource, scope, exclude, caller, turn.wake)
                    for earlier in doubted.values():
                        if earlier in self._claims:  # else its arbiter granted it late, and it was given back
                            self._claims[earlier].heir = claim
                    claim.shown = bool(doubted)
                    await self._ask(token, claim, turn, last=passed_over >= _UNANSWERED)
                    if claim.state is ClaimState.HOLDING:
                        given = token
                    if claim.state is ClaimState.DOUBTED:
                        doubted[arbiter] = token
                        continue
                    if claim.state is not ClaimState.LOST:
                        break
                    passed_over += 1
                    await trio.sleep(_HOLDERS_FIRST)  # ask the next arbiter, after the holder reported its lease to it
        finally:
            for earlier in doubted.values():
                self.abandon(earlier)
        if given is None and claim.state is not ClaimState.FREED:
            self._freed.note(resource, scope, "")
        return given

    def _excluded(self, resource: bytes, freed: str | None) -> tuple[str, ...]:
        """Return the peers that have what is wanted, for all this node knows, and could not deliver it."""
        cids = {pointer.cid for pointer in self._directory.find(resource)}
        known = set().union(*(self._directory.holders(cid) for cid in cids), (freed,) if freed else ())
        return tuple(known)[:_EXCLUDED]

    def forsake(self, caller: object) -> None:
        """Abandon all claims of a `caller` that does not wait for them any more."""
        for token in [token for token, claim in self._claims.items() if claim.caller is caller]:
            self.abandon(token)

    def _choose(self, resource: bytes, exclude: Collection[str] = ()) -> str:
        hubs = [peer for peer in self._members.hubs() if peer not in self._shunned and peer not in exclude]
        others = [s.peer for s in self._members if s.peer not in self._shunned and s.peer not in exclude]
        return choose(resource, hubs or [*others, self._members.me])

    async def _ask(self, token: int, claim: OwnClaim, turn: _Turn, *, last: bool) -> None:
        """Wait until HOLDING, FREED, DOUBTED or LOST; without any answer a claim is LOST, or HOLDING at `last`."""
        self._busy.set()
        try:
            if claim.arbiter == self._members.me:
                claim.shown = True
                self.arbiter.ask(Claim(self._members.me, token), claim.resource, claim.scope, claim.exclude)
            else:
                self._members.send(claim.arbiter, self._frame(token, claim))
                with trio.move_on_after(self._limits.peer_deadline):
                    while claim.state is ClaimState.ASKED or (claim.state is ClaimState.WAITING and not claim.shown):
                        await turn.wait()
            if claim.state is ClaimState.ASKED and last:
                claim.state = ClaimState.HOLDING  # better one call too many than one too late
            elif claim.state is ClaimState.ASKED:
                self._shun(claim.arbiter, _SHUN)
                claim.state = ClaimState.LOST
            elif claim.state is ClaimState.WAITING and not claim.shown:
                self._doubt(claim.arbiter)
                claim.state = ClaimState.DOUBTED
            while claim.state is ClaimState.WAITING:
                await turn.wait()
        finally:
            if claim.state not in (ClaimState.HOLDING, ClaimState.DOUBTED):
                self.abandon(token)  # perhaps it was granted just now, with no caller left to use it

    def _shun(self, arbiter: str, seconds: float) -> None:
        self._shunned[arbiter] = trio.current_time() + seconds

    def _doubt(self, arbiter: str) -> None:
        self._doubts[arbiter] += 1
        if self._doubts[arbiter] >= _DOUBTS:
            del self._doubts[arbiter]
            self._shun(arbiter, _SHUN_DOUBTED)

    def release(self, token: int, pointer: Pointer | None) -> None:
        """End a lease; `pointer` is what the others may now find."""
        self._end(token, Release(token, wire(pointer)))

    def abandon(self, token: int) -> None:
        """End a claim whose work is not done and will not be: the next in line takes its place."""
        self._end(token, Release(token, None, undone=True))

    def _end(self, token: int, release: Release) -> None:
        claim = self._claims.pop(token, None)
        if claim is not None and claim.arbiter == self._members.me:
            self.arbiter.end(Claim(self._members.me, token), release)
        elif claim is not None:
            self._members.send(claim.arbiter, release)

    def on_acquire(self, session: Session, frame: Acquire) -> None:
        """Arbitrate, and watch the peers concerned."""
        self._busy.set()
        self.arbiter.on_acquire(session, frame)

    def on_grant(self, session: Session, frame: Grant) -> None:
        """Take a lease, or return one that no caller waits for any more."""
        claim = self._decided(session, frame)
        if claim is None:
            session.send(Release(frame.id, None, undone=True))
        elif claim.state is ClaimState.DOUBTED:
            self.abandon(frame.id)  # another arbiter is asked already
        elif claim.waits:
            claim.become(ClaimState.HOLDING)

    def on_free(self, session: Session, frame: Free) -> None:
        """End a claim, and the one that was made when it was doubted: the holder is done."""
        claim = self._decided(session, frame)
        if claim is not None and claim.state is ClaimState.DOUBTED:
            claim = claim.heir
        if claim is not None and claim.waits:
            self._freed.note(claim.resource, claim.scope, frame.holder if frame.pointer else "")
            claim.become(ClaimState.FREED)

    def on_queued(self, session: Session, frame: Queued) -> None:
        """Go on waiting."""
        claim = self._claim(session, frame.id)
        if claim is not None and claim.state is ClaimState.ASKED:
            claim.shown = claim.shown or self._shows(session, claim, frame)
            claim.become(ClaimState.WAITING)

    def _claim(self, session: Session, token: int) -> OwnClaim | None:
        claim = self._claims.get(token)
        return claim if claim is not None and claim.arbiter == session.peer else None

    def _decided(self, session: Session, frame: Grant | Free) -> OwnClaim | None:
        claim = self._claim(session, frame.id)
        if claim is not None and (claim.waits or claim.state is ClaimState.DOUBTED):
            self._doubts.pop(session.peer, None)
            if frame.pointer is not None and frame.pointer.name == claim.resource:
                learn(self._members, self._directory, session, frame.pointer, frame.holder)
        return claim

    def _shows(self, session: Session, claim: OwnClaim, frame: Queued) -> bool:
        """Return whether another than the arbiter asks, by a signature of its own and of now."""
        if frame.holder == self._members.me:
            others = (other for other in self._claims.values() if other is not claim)
            return any(other.state is ClaimState.HOLDING and other.resource == claim.resource for other in others)
        holder = self._members.get(frame.holder)
        ago = unix_time() - frame.at + (holder.member.skew if holder else 0.0)
        return (
            frame.holder != session.peer
            and -_CLOCKS <= ago <= self._limits.lease + _CLOCKS
            and signed(frame.holder, statements.ask(claim.resource, frame.at, session.peer), frame.signature)
        )

    def _on_ruling(self, ruling: Ruling[Pointer]) -> None:
        claim = self._claims[ruling.claim.token]
        if ruling.verdict is Verdict.FREE:
            self._freed.note(claim.resource, claim.scope, ruling.holder if ruling.result else "")
        claim.become(_STATES[ruling.verdict])


class _Turn:
    """What a caller sleeps on until its claim changes."""

    def __init__(self) -> None:
        self._changed = trio.Event()

    def wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def wait(self) -> None:
        await self._changed.wait()
