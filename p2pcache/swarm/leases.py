"""One upstream call for the fleet: asking the arbiter, and being it. Trio side; the rules are in `arbiter`.

The hub arbitrates, or without one the member that rendezvous hashing names. Two nodes that see different members may
choose different arbiters: that costs a second call, never a wait. An arbiter that does not answer, or falls silent,
is passed over within a second.

A member can say that somebody asks although nobody does. It is believed for one peer deadline, and for longer when it
shows the signature of another who asks. Where it says so of itself, a second arbiter is asked meanwhile: of two members
who both say that they ask, one does.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable
from typing import NoReturn

import trio

from p2pcache.cache.arbiter import Arbiter, Claim, Ruling, Verdict, choose
from p2pcache.cache.entry import Pointer
from p2pcache.clock import unix_time
from p2pcache.swarm import statements
from p2pcache.swarm.activity import GRANTED
from p2pcache.swarm.claims import ClaimState, Freed, Mine
from p2pcache.swarm.directory import Directory
from p2pcache.swarm.frames import Ask, Free, Grant, Release, Wait, encode, heard, wire
from p2pcache.swarm.identity import Identity, signed
from p2pcache.swarm.members import Members
from p2pcache.swarm.outside import Outside
from p2pcache.swarm.session import Session

_BEAT = 0.2
_SHUN = 5.0
_HOLDERS_FIRST = 0.02
_UNAVAILING = 8
"""Peers whose leavings a claim says it cannot use."""
_DEAF = 1
"""Arbiters that give no word at all and are passed over; after that nobody is asked for leave."""
_DOUBTS = 3
"""Times in a row that an arbiter had nothing to show and never came back to it, before it is shunned."""
_SHUN_DOUBTED = 60.0
_UNSIGNED = bytes(64)
"""Where an arbiter speaks of itself, a signature of its own would show nothing."""
_CLOCKS = 5.0
"""Seconds by which the clocks of two members that have not met may differ."""


class LeaseDesk:
    """Claims of this node, and the leases it arbitrates.

    Args:
        members: who could arbitrate.
        directory: learns what a holder left.
        outside: the node, which has to show that it is at work on what it holds a lease for.
        me: signs that it asks.
    """

    def __init__(self, members: Members, directory: Directory, outside: Outside, me: Identity) -> None:
        self._members = members
        self._me = me
        self._limits = members.limits
        self._directory = directory
        self._outside = outside
        limits = self._limits
        self._arbiter: Arbiter[Pointer] = Arbiter(limits.lease, limits.leases, limits.leases_per_peer, limits.distrust)
        self._mine: dict[int, Mine] = {}
        self._tokens = itertools.count(1)
        self._busy = trio.Event()
        self._watched: dict[str, float] = {}
        self._shunned: dict[str, float] = {}
        self._doubts: Counter[str] = Counter()
        self._freed = Freed(self._limits.leases)

    async def run(self) -> NoReturn:
        """While leases are out: keep in touch with those concerned, and give up the silent ones."""
        while True:
            while not (self._mine or len(self._arbiter)):
                self._watched.clear()
                self._busy = trio.Event()
                await self._busy.wait()
            self._beat(trio.current_time())
            await trio.sleep(_BEAT)

    def _beat(self, now: float) -> None:
        concerned = self._arbiter.peers() | {mine.arbiter for mine in self._mine.values()}
        concerned.discard(self._members.me)
        self._watched = {peer: self._watched.get(peer, now) for peer in concerned}
        silent = set()
        for peer, since in self._watched.items():
            session = self._members.get(peer)
            if session is None or now - max(session.heard, since) > self._limits.lease_silence:
                silent.add(peer)
            else:
                session.ping()
        self._lose(silent, now)
        self._tell(self._arbiter.expire(now))
        # A node that hangs, though its swarm's thread does not, is as good as dead to those who wait for it.
        hung = (
            self._outside.silence() > self._limits.lease_silence - _BEAT
        )  # it may have hung a beat before it was asked
        for token in [token for token, mine in self._mine.items() if hung and mine.state is ClaimState.HOLDING]:
            self.abandon(token)

    def _lose(self, peers: Collection[str], now: float) -> None:
        """These cannot be relied on: as holders they lose the lease, as arbiters those who wait for them."""
        self._shunned = {peer: until for peer, until in self._shunned.items() if until > now}
        self._shunned |= dict.fromkeys(peers, now + _SHUN)
        self._tell(self._arbiter.gone(peers, now))
        for token, mine in list(self._mine.items()):
            if mine.arbiter not in peers:
                continue
            if mine.state is ClaimState.HOLDING:
                self._move(token, mine)
            elif mine.state is not ClaimState.FREED:
                mine.become(ClaimState.LOST)

    def _move(self, token: int, mine: Mine) -> None:
        """Tell the next arbiter of a lease that is held already, so that the others go on waiting for it."""
        mine.arbiter = self._choose(mine.resource)
        if mine.arbiter == self._members.me:
            self._arbiter.ask(Claim(self._members.me, token), mine.resource, mine.scope, trio.current_time())
        else:
            self._send(mine.arbiter, self._word(token, mine))

    def _word(self, token: int, mine: Mine) -> Ask:
        at = unix_time()
        signature = self._me.sign(statements.ask(mine.resource, at, mine.arbiter))
        return Ask(token, mine.resource, mine.scope, at, signature, mine.exclude)

    def left(self, session: Session) -> None:
        """A session is over."""
        self._lose({session.peer}, trio.current_time())

    def dropped(self) -> None:
        """A write: what holders left before it is worth nothing."""
        self._arbiter.forget()

    def joined(self, session: Session) -> None:
        """It may have been silent before; now it spoke."""
        self._shunned.pop(session.peer, None)

    async def acquire(self, resource: bytes, scope: bytes, again: bool = False, caller: object = None) -> int | None:
        """The token of a lease to `release` or `abandon`, or None: somebody else asked meanwhile and is done.

        Waits at most `lease` seconds in all.

        Args:
            resource: the name of what is wanted.
            scope: for whom.
            again: what that somebody left cannot be had. None at once if it left nothing.
            caller: see `forsake`.
        """
        freed = self._freed.take(resource, scope)
        if again and freed == "":
            return None
        exclude = self._unavailing(resource, freed) if again else ()
        given: int | None = None
        passed_over = 0
        doubted: dict[str, int] = {}
        try:
            with trio.move_on_after(self._limits.lease):
                while True:
                    token = next(self._tokens)
                    mine = self._mine[token] = Mine(self._choose(resource, doubted), resource, scope, exclude, caller)
                    for earlier in doubted.values():
                        self._mine[earlier].heir = mine
                    mine.shown = bool(doubted)
                    await self._ask(token, mine, last=passed_over >= _DEAF)
                    if mine.state is ClaimState.HOLDING:
                        given = token
                    if mine.state is ClaimState.DOUBTED:
                        doubted[mine.arbiter] = token
                        continue
                    if mine.state is not ClaimState.LOST:
                        break
                    passed_over += 1
                    await trio.sleep(_HOLDERS_FIRST)  # ask the next arbiter, after who holds the lease told it
        finally:
            for earlier in doubted.values():
                self.abandon(earlier)
        if given is None and mine.state is not ClaimState.FREED:
            self._freed.note(resource, scope, "")
        return given

    def _unavailing(self, resource: bytes, freed: str | None) -> tuple[str, ...]:
        """Who has what is wanted, for all this node knows, and could not deliver it."""
        cids = {pointer.cid for pointer in self._directory.find(resource)}
        known = set().union(*(self._directory.holders(cid) for cid in cids), (freed,) if freed else ())
        return tuple(known)[:_UNAVAILING]

    def forsake(self, caller: object) -> None:
        """`caller` will not hear what it acquired."""
        for token in [token for token, mine in self._mine.items() if mine.caller is caller]:
            self.abandon(token)

    def _choose(self, resource: bytes, exclude: Collection[str] = ()) -> str:
        hubs = [peer for peer in self._members.hubs() if peer not in self._shunned and peer not in exclude]
        others = [s.peer for s in self._members if s.peer not in self._shunned and s.peer not in exclude]
        return choose(resource, hubs or [*others, self._members.me])

    async def _ask(self, token: int, mine: Mine, *, last: bool) -> None:
        """Until `mine` is HOLDING, FREED, DOUBTED or LOST; after no word at all it is LOST, or HOLDING at `last`."""
        self._busy.set()
        try:
            if mine.arbiter == self._members.me:
                mine.shown = True
                claim = Claim(self._members.me, token)
                self._tell(self._arbiter.ask(claim, mine.resource, mine.scope, trio.current_time(), mine.exclude))
            else:
                self._send(mine.arbiter, self._word(token, mine))
                with trio.move_on_after(self._limits.peer_deadline):
                    while mine.state is ClaimState.ASKED or (mine.state is ClaimState.WAITING and not mine.shown):
                        await mine.turn.wait()
            if mine.state is ClaimState.ASKED and last:
                mine.state = ClaimState.HOLDING  # better one call too many than one too late
            elif mine.state is ClaimState.ASKED:
                self._shun(mine.arbiter, _SHUN)
                mine.state = ClaimState.LOST
            elif mine.state is ClaimState.WAITING and not mine.shown:
                self._doubt(mine.arbiter)
                mine.state = ClaimState.DOUBTED
            while mine.state is ClaimState.WAITING:
                await mine.turn.wait()
        finally:
            if mine.state not in (ClaimState.HOLDING, ClaimState.DOUBTED):
                self.abandon(token)  # perhaps it was granted just now, and nobody is told

    def _shun(self, arbiter: str, seconds: float) -> None:
        self._shunned[arbiter] = trio.current_time() + seconds

    def _doubt(self, arbiter: str) -> None:
        self._doubts[arbiter] += 1
        if self._doubts[arbiter] >= _DOUBTS:
            del self._doubts[arbiter]
            self._shun(arbiter, _SHUN_DOUBTED)

    def release(self, token: int, pointer: Pointer | None) -> None:
        """The holder is done; `pointer` is what the others may now find."""
        self._end(token, Release(token, wire(pointer)))

    def abandon(self, token: int) -> None:
        """The holder is not done and will not be: somebody else's turn."""
        self._end(token, Release(token, None, undone=True))

    def _end(self, token: int, release: Release) -> None:
        mine = self._mine.pop(token, None)
        if mine is not None and mine.arbiter == self._members.me:
            self._over(Claim(self._members.me, token), release)
        elif mine is not None:
            self._send(mine.arbiter, release)

    def _over(self, claim: Claim, release: Release) -> None:
        now = trio.current_time()
        if release.undone:
            self._tell(self._arbiter.abandon(claim, now))
        else:
            self._tell(self._arbiter.release(claim, release.pointer, now))

    def asked(self, session: Session, frame: Ask) -> None:
        """A peer asks this node as arbiter."""
        self._busy.set()
        claim = Claim(session.peer, frame.id, frame.at, frame.signature)
        self._tell(self._arbiter.ask(claim, frame.resource, frame.scope, trio.current_time(), frame.exclude))

    def released(self, session: Session, frame: Release) -> None:
        """A peer is done, or does not want the lease any more."""
        claim = Claim(session.peer, frame.id)
        left = frame.pointer
        if left is not None and self._arbiter.holding(claim) != (left.name, left.scope):
            left = None
        pointer = self._learn(session, left, session.peer)
        self._over(claim, Release(frame.id, wire(pointer), frame.undone))

    def told(self, session: Session, frame: Grant | Wait | Free) -> None:
        """The arbiter's word on a claim of this node's."""
        mine = self._mine.get(frame.id)
        if mine is None or mine.arbiter != session.peer:
            if isinstance(frame, Grant):
                session.send(encode(Release(frame.id, None, undone=True)))  # nobody waits here any more
        elif isinstance(frame, Wait):
            if mine.state is ClaimState.ASKED:
                mine.shown = mine.shown or self._shows(session, mine, frame)
                mine.become(ClaimState.WAITING)
        elif mine.waits or mine.state is ClaimState.DOUBTED:
            self._decided(session, mine, frame)

    def _decided(self, session: Session, mine: Mine, frame: Grant | Free) -> None:
        self._doubts.pop(session.peer, None)
        if frame.pointer is not None and frame.pointer.name == mine.resource:
            self._learn(session, frame.pointer, frame.holder)
        claim = mine.heir if mine.state is ClaimState.DOUBTED else mine
        if isinstance(frame, Grant) and claim is not mine:
            self.abandon(frame.id)  # another arbiter is asked already
        elif claim is not None and claim.waits:
            if isinstance(frame, Free):
                self._freed.note(mine.resource, mine.scope, frame.holder if frame.pointer else "")
            claim.become(ClaimState.HOLDING if isinstance(frame, Grant) else ClaimState.FREED)

    def _shows(self, session: Session, mine: Mine, frame: Wait) -> bool:
        """Whether somebody else than the arbiter asks, by a word of its own and of now."""
        if frame.holder == self._members.me:
            others = (other for other in self._mine.values() if other is not mine)
            return any(other.state is ClaimState.HOLDING and other.resource == mine.resource for other in others)
        holder = self._members.get(frame.holder)
        ago = unix_time() - frame.at + (holder.member.skew if holder else 0.0)
        return (
            frame.holder != session.peer
            and -_CLOCKS <= ago <= self._limits.lease + _CLOCKS
            and signed(frame.holder, statements.ask(mine.resource, frame.at, session.peer), frame.signature)
        )

    def _learn(self, session: Session, left: Pointer | None, holder: str) -> Pointer | None:
        """What a holder left can be had from it where it is connected, else from who told."""
        if left is None:
            return None
        pointer = heard(left, session.member.skew, unix_time())
        if holder != self._members.me:
            self._directory.add(pointer, holder if holder in self._members else session.peer, announced=False)
        return pointer

    def _tell(self, rulings: Iterable[Ruling[Pointer]]) -> None:
        for ruling in rulings:
            claim = ruling.claim
            if ruling.verdict is Verdict.GRANT:
                self._members.activity.count(GRANTED)
            if claim.peer == self._members.me:
                mine = self._mine[claim.token]
                if ruling.verdict is Verdict.FREE:
                    self._freed.note(mine.resource, mine.scope, ruling.holder if ruling.left else "")
                mine.become(_MINE[ruling.verdict])
            else:
                self._send(claim.peer, self._frame(ruling))

    def _frame(self, ruling: Ruling[Pointer]) -> Grant | Wait | Free:
        token = ruling.claim.token
        if (asking := ruling.asking) is not None:
            return Wait(token, asking.peer, asking.at, asking.signature or _UNSIGNED)
        made = Grant if ruling.verdict is Verdict.GRANT else Free
        return made(token, ruling.left, ruling.holder)

    def _send(self, peer: str, frame: Ask | Release | Grant | Wait | Free) -> None:
        """One that has just left hears nothing: its claims and arbitration end with its session."""
        if session := self._members.get(peer):
            session.send(encode(frame))


_MINE = {Verdict.GRANT: ClaimState.HOLDING, Verdict.WAIT: ClaimState.WAITING, Verdict.FREE: ClaimState.FREED}
