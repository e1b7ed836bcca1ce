"""Who may ask GitHub: the state of the leases one node arbitrates. Pure, the caller says what time it is.

Whoever asks while a resource has a holder waits. When the holder is done, the waiters of its scope are freed: they
find what it left, or (it left nothing: GitHub refused it, or the answer is not to be shared) ask for themselves. Of
every other scope the first waiter becomes a holder, and proves on behalf of its scope what the first one left. When a
holder dies or stalls the first waiter takes its place and the others go on waiting. No state outlives `lease` seconds
without passing on, so nobody waits for ever.

Who asks a moment after a holder was done has perhaps not heard yet what it left: it is told at once.
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
"""Seconds an announcement may take to reach everybody."""
_LEFT = 1_024
"""Answers remembered for so long."""


def choose(resource: bytes, candidates: Iterable[str]) -> str:
    """The member that arbitrates `resource`: rendezvous hashing, so that all who see the same members agree.

    Losing a member moves only the resources it had. `candidates` must not be empty.
    """
    return max(candidates, key=lambda peer: hashlib.sha256(resource + peer.encode()).digest())


@dataclass(frozen=True, slots=True)
class Claim:
    """One caller: on which peer, and its number there. `at`, `signature`: its word that it asks."""

    peer: str
    token: int
    at: float = field(default=0.0, compare=False)
    signature: bytes = field(default=b"", compare=False)


class Verdict(enum.Enum):
    """What becomes of a claim."""

    GRANT = enum.auto()
    WAIT = enum.auto()
    FREE = enum.auto()


@dataclass(frozen=True, slots=True)
class Ruling(Generic[P]):
    """To be told to `claim`. `left`: what `holder` left, None for nothing. `asking`: for whom it is to wait."""

    claim: Claim
    verdict: Verdict
    left: P | None = None
    holder: str = ""
    asking: Claim | None = None


@dataclass(frozen=True, slots=True)
class _Left(Generic[P]):
    left: P
    holder: str
    until: float


@dataclass(slots=True, eq=False)
class _Lease:
    resource: bytes
    scope: bytes
    holder: Claim
    until: float
    waiting: dict[Claim, bytes] = field(default_factory=dict)  # and their scopes, in order of arrival


class Arbiter(Generic[P]):
    """The leases of one node.

    Args:
        lease: seconds a holder may take.
        bound: claims kept; beyond it everybody is granted, which costs a call and never a wait.
        share: claims kept of one peer.
        distrust: seconds for which nobody waits for a peer that let others wait for nothing.
        recall: seconds for which what a holder left answers those that ask, see `JUST_NOW`.
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
        self._left: OrderedDict[tuple[bytes, bytes], _Left[P]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._claims)

    def peers(self) -> set[str]:
        """Who holds or waits: those whose silence matters."""
        return set(self._of)

    def holding(self, claim: Claim) -> tuple[bytes, bytes] | None:
        """The resource and scope that `claim` holds the lease of; None when it does not."""
        lease = self._claims.get(claim)
        return None if lease is None or lease.holder != claim else (lease.resource, lease.scope)

    def ask(
        self, claim: Claim, resource: bytes, scope: bytes, now: float, exclude: Collection[str] = ()
    ) -> list[Ruling[P]]:
        """A caller wants `resource`, and not what the peers in `exclude` left: that cannot be had."""
        if claim in self._claims or len(self._claims) >= self._bound or self._of[claim.peer] >= self._share:
            return [Ruling(claim, Verdict.GRANT)]
        if now < self._distrusted.get(claim.peer, 0.0):
            return [Ruling(claim, Verdict.GRANT)]
        leases = self._leases.get(resource, [])
        if not leases:
            recent = self._left.get((resource, scope))
            if recent is not None and now < recent.until and recent.holder not in exclude:
                return [Ruling(claim, Verdict.FREE, recent.left, recent.holder)]
            return [self._grant(_Lease(resource, scope, claim, 0.0), now)]
        lease = next((lease for lease in leases if lease.scope == scope), leases[0])
        lease.waiting[claim] = scope
        self._enter(claim, lease)
        return [Ruling(claim, Verdict.WAIT, asking=lease.holder)]

    def release(self, claim: Claim, left: P | None, now: float) -> list[Ruling[P]]:
        """A holder is done, or a waiter has lost interest; an unknown claim is nobody's business."""
        if claim not in self._claims:
            return []
        lease = self._leave(claim)
        if lease.holder != claim:
            del lease.waiting[claim]
            return []
        if left is not None and self._recall:
            self._left[lease.resource, lease.scope] = _Left(left, claim.peer, now + self._recall)
            if len(self._left) > min(self._bound, _LEFT):
                self._left.popitem(last=False)
        return self._pass_on(lease, left)

    def abandon(self, claim: Claim, now: float) -> list[Ruling[P]]:
        """A holder has not asked and will not, or a waiter has lost interest."""
        return self._lost(claim, now) if claim in self._claims else []

    def forget(self) -> None:
        """Something was dropped, perhaps what a holder left just now: whoever asks next is to ask GitHub again."""
        self._left.clear()

    def gone(self, peers: Collection[str], now: float) -> list[Ruling[P]]:
        """These peers left, or are silent."""
        lost = [claim for claim in self._claims if claim.peer in peers]
        # Waiters first, or one that is lost too would be granted what the holder had.
        lost.sort(key=lambda claim: self._claims[claim].holder == claim)
        return [ruling for claim in lost for ruling in self._lost(claim, now)]

    def expire(self, now: float) -> list[Ruling[P]]:
        """Holders that took too long lose their lease; nobody waits again so soon for one that let others wait."""
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

    def _pass_on(self, lease: _Lease, left: P | None) -> list[Ruling[P]]:
        self._remove(lease)
        rulings: list[Ruling[P]] = []
        others: dict[bytes, _Lease] = {}
        for claim, scope in lease.waiting.items():
            if scope == lease.scope:
                self._leave(claim)
                rulings.append(Ruling(claim, Verdict.FREE, left, lease.holder.peer))
            elif scope in others:
                others[scope].waiting[claim] = scope
            else:
                others[scope] = _Lease(lease.resource, scope, claim, lease.until)
        grants = [self._grant(other, other.until - self._lease) for other in others.values()]
        return rulings + [replace(grant, left=left, holder=lease.holder.peer) for grant in grants]

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
