"""The state of the leases that one node arbitrates: the rights to ask GitHub. Pure, the caller passes the time.

A claim to a resource that has a holder waits. When the holder is done, the waiters of its scope are freed: they use
its result, or (it has none: GitHub refused it, or the answer is not to be shared) ask GitHub for themselves. The first
waiter of every other scope becomes a holder, and proves the first one's result on behalf of its scope. When a holder
dies or stalls, the first waiter takes its place and the others go on waiting. A lease passes on after `lease` seconds
at the latest, so no claim waits for ever.

A claim that comes just after a holder was done gets its result at once: the announcement may not have arrived there.
"""

from __future__ import annotations

import enum
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

P = TypeVar("P")

JUST_NOW = 1.0
"""Seconds an announcement may take to reach every member."""
_MAX_RECENT = 1_024
"""The most results that are remembered for so long."""


def choose(resource: bytes, candidates: Iterable[str]) -> str:
    """Return the member that arbitrates `resource`, by rendezvous hashing: all that see the same members agree.

    Losing a member moves only the resources it had. `candidates` must not be empty.
    """
    return max(candidates, key=lambda peer: hashlib.sha256(resource + peer.encode()).digest())


@dataclass(frozen=True, slots=True)
class Claim:
    """One caller: its peer, and its number there. `at` (Unix seconds) and `signature` are that peer's word for it."""

    peer: str
    token: int
    at: float = field(default=0.0, compare=False)
    signature: bytes = field(default=b"", compare=False)


class Verdict(enum.Enum):
    """The state that a ruling puts a claim in."""

    GRANT = enum.auto()
    WAIT = enum.auto()
    FREE = enum.auto()


@dataclass(frozen=True, slots=True)
class Ruling(Generic[P]):
    """To be sent to `claim`: `result` is that of the peer `holder`, or None; `asking` is the claim to wait for."""

    claim: Claim
    verdict: Verdict
    result: P | None = None
    holder: str = ""
    asking: Claim | None = None


@dataclass(frozen=True, slots=True)
class _Recent(Generic[P]):
    result: P
    holder: str
    until: float


@dataclass(slots=True, eq=False)
class _Lease:
    resource: bytes
    scope: bytes
    holder: Claim
    until: float
    waiting: dict[Claim, bytes] = field(default_factory=dict)  # their scopes, in order of arrival


class Arbiter(Generic[P]):
    """The leases of one node.

    Args:
        lease: seconds a holder may take.
        bound: claims kept; beyond it every claim is granted, which costs a call and never a wait.
        share: claims kept of one peer.
        distrust: seconds for which no claim waits for a peer whose lease expired while others waited.
        recall: seconds for which a result frees later claims, see `JUST_NOW`.
    """

    def __init__(self, lease: float, bound: int, share: int, distrust: float, recall: float = JUST_NOW) -> None:
        self._lease = lease
        self._bound = bound
        self._share = share
        self._distrust = distrust
        self._recall = recall
        self._distrusted: dict[str, float] = {}
        self._of: Counter[str] = Counter()
        self._leases: dict[bytes, list[_Lease]] = {}
        self._claims: dict[Claim, _Lease] = {}
        self._recent: OrderedDict[tuple[bytes, bytes], _Recent[P]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._claims)

    def peers(self) -> set[str]:
        """Return the peers that hold or wait: those whose silence matters."""
        return set(self._of)

    def holding(self, claim: Claim) -> tuple[bytes, bytes] | None:
        """Return the resource and scope that `claim` holds the lease of; None when it holds none."""
        lease = self._claims.get(claim)
        return None if lease is None or lease.holder != claim else (lease.resource, lease.scope)

    def ask(
        self, claim: Claim, resource: bytes, scope: bytes, now: float, exclude: Collection[str] = ()
    ) -> list[Ruling[P]]:
        """Take in a claim to `resource`; results of the peers in `exclude` cannot be had and do not free it."""
        if claim in self._claims or len(self._claims) >= self._bound or self._of[claim.peer] >= self._share:
            return [Ruling(claim, Verdict.GRANT)]
        if now < self._distrusted.get(claim.peer, 0.0):
            return [Ruling(claim, Verdict.GRANT)]
        leases = self._leases.get(resource, [])
        if not leases:
            recent = self._recent.get((resource, scope))
            if recent is not None and now < recent.until and recent.holder not in exclude:
                return [Ruling(claim, Verdict.FREE, recent.result, recent.holder)]
            return [self._grant(_Lease(resource, scope, claim, 0.0), now)]
        lease = next((lease for lease in leases if lease.scope == scope), leases[0])
        lease.waiting[claim] = scope
        self._enter(claim, lease)
        return [Ruling(claim, Verdict.WAIT, asking=lease.holder)]

    def release(self, claim: Claim, result: P | None, now: float) -> list[Ruling[P]]:
        """End a claim, with a holder's result; an unknown one is ignored, since it may have ended before."""
        if claim not in self._claims:
            return []
        lease = self._leave(claim)
        if lease.holder != claim:
            del lease.waiting[claim]
            return []
        if result is not None and self._recall:
            self._recent[lease.resource, lease.scope] = _Recent(result, claim.peer, now + self._recall)
            if len(self._recent) > min(self._bound, _MAX_RECENT):
                self._recent.popitem(last=False)
        return self._pass_on(lease, result)

    def abandon(self, claim: Claim, now: float) -> list[Ruling[P]]:
        """End a claim without a call to GitHub: a holder's lease goes to the first waiter; ignore an unknown claim."""
        return self._lost(claim, now) if claim in self._claims else []

    def forget_results(self) -> None:
        """Forget recent results after a drop, which may have been about them: the next claim is to ask GitHub."""
        self._recent.clear()

    def gone(self, peers: Collection[str], now: float) -> list[Ruling[P]]:
        """End the claims of these peers, which disconnected or are silent."""
        lost = [claim for claim in self._claims if claim.peer in peers]
        # Waiters first: one that is lost too must not be granted the lease of a lost holder.
        lost.sort(key=lambda claim: self._claims[claim].holder == claim)
        return [ruling for claim in lost for ruling in self._lost(claim, now)]

    def expire(self, now: float) -> list[Ruling[P]]:
        """Take the lease from holders that took too long; for `distrust` seconds no claim waits for their peers."""
        late = []
        self._distrusted = {peer: until for peer, until in self._distrusted.items() if now < until}
        for lease in [lease for leases in self._leases.values() for lease in leases if now >= lease.until]:
            late.append(lease.holder)
            if lease.waiting:
                self._distrusted[lease.holder.peer] = now + self._distrust
        return [ruling for claim in late for ruling in self._lost(claim, now)]

    def _grant(self, lease: _Lease, now: float) -> Ruling[P]:
        lease.until = now + self._lease
        self._leases.setdefault(lease.resource, []).append(lease)
        for claim in (lease.holder, *lease.waiting):
            self._enter(claim, lease)
        return Ruling(lease.holder, Verdict.GRANT)

    def _enter(self, claim: Claim, lease: _Lease) -> None:
        self._of[claim.peer] += claim not in self._claims
        self._claims[claim] = lease

    def _leave(self, claim: Claim) -> _Lease:
        self._of[claim.peer] -= 1
        if not self._of[claim.peer]:
            del self._of[claim.peer]
        return self._claims.pop(claim)

    def _remove(self, lease: _Lease) -> None:
        leases = self._leases[lease.resource]
        leases.remove(lease)
        if not leases:
            del self._leases[lease.resource]

    def _pass_on(self, lease: _Lease, result: P | None) -> list[Ruling[P]]:
        self._remove(lease)
        rulings: list[Ruling[P]] = []
        others: dict[bytes, _Lease] = {}
        for claim, scope in lease.waiting.items():
            if scope == lease.scope:
                self._leave(claim)
                rulings.append(Ruling(claim, Verdict.FREE, result, lease.holder.peer))
            elif scope in others:
                others[scope].waiting[claim] = scope
            else:
                others[scope] = _Lease(lease.resource, scope, claim, lease.until)
        grants = [self._grant(other, other.until - self._lease) for other in others.values()]
        return rulings + [replace(grant, result=result, holder=lease.holder.peer) for grant in grants]

    def _lost(self, claim: Claim, now: float) -> list[Ruling[P]]:
        lease = self._leave(claim)
        if lease.holder != claim:
            del lease.waiting[claim]
            return []
        self._remove(lease)
        if not lease.waiting:
            return []
        first = next(iter(lease.waiting))
        lease.holder, lease.scope = first, lease.waiting.pop(first)
        return [self._grant(lease, now)]
