"""Leases within one node: callers of the same resource wait for each other, by the rules of `arbiter`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from p2pcache.cache.arbiter import Arbiter, Claim, Ruling, Verdict
from p2pcache.cache.tiers import Freed

T = TypeVar("T")


class LocalLeases(Generic[T]):
    """`tiers.Leases` within one event loop.

    Args:
        patience: seconds a caller waits for a holder before it asks GitHub beside it.
        limit: callers that hold or wait at once; beyond it, callers do not wait.
    """

    def __init__(self, *, patience: float, limit: int = 65_536) -> None:
        # A lease does not expire: each waiter gives up by itself, when its own patience ends.
        self._arbiter: Arbiter[T] = Arbiter(math.inf, limit, limit, distrust=0, recall=0)
        self._patience = patience
        self._tokens = itertools.count()
        self._waiting: dict[Claim, asyncio.Future[Ruling[T]]] = {}

    def __len__(self) -> int:
        return len(self._arbiter)

    async def acquire(self, resource: bytes, scope: bytes, *, again: bool = False) -> LocalLease[T] | Freed[T]:
        """See `tiers.Leases`. `again` changes nothing: a result is handed over here, and cannot be lost."""
        del again
        return await self._acquire("", resource, scope)

    async def _acquire(self, peer: str, resource: bytes, scope: bytes) -> LocalLease[T] | Freed[T]:
        claim = Claim(peer, next(self._tokens))
        (ruling,) = self._arbiter.ask(claim, resource, scope, 0.0)
        if ruling.verdict is Verdict.GRANT:
            return LocalLease(self, claim, waited=False)
        ruling = await self._turn(claim)
        return Freed(ruling.result) if ruling.verdict is Verdict.FREE else LocalLease(self, claim, waited=True)

    async def _turn(self, claim: Claim) -> Ruling[T]:
        turn: asyncio.Future[Ruling[T]] = asyncio.get_running_loop().create_future()
        self._waiting[claim] = turn
        try:
            async with asyncio.timeout(self._patience):
                return await turn
        except TimeoutError:
            self.abandon(claim)
            return Ruling(claim, Verdict.GRANT)
        except asyncio.CancelledError:
            self.abandon(claim)
            raise
        finally:
            del self._waiting[claim]

    def release(self, claim: Claim, result: T | None) -> None:
        """End `claim`: the waiters of its scope are freed with `result`."""
        self._rule(self._arbiter.release(claim, result, 0.0))

    def abandon(self, claim: Claim) -> None:
        """End `claim`: the first waiter takes its place."""
        self._rule(self._arbiter.abandon(claim, 0.0))

    def _rule(self, rulings: Iterable[Ruling[T]]) -> None:
        for ruling in rulings:
            with contextlib.suppress(asyncio.InvalidStateError):  # cancelled a moment ago: `_turn` will abandon it
                self._waiting[ruling.claim].set_result(ruling)


@dataclass(frozen=True, slots=True)
class LocalLease(Generic[T]):
    """`tiers.Lease` of one caller."""

    _leases: LocalLeases[T]
    _claim: Claim
    waited: bool

    async def release(self, result: T | None) -> None:
        """See `tiers.Lease`."""
        self._leases.release(self._claim, result)

    async def abandon(self) -> None:
        """See `tiers.Lease`."""
        self._leases.abandon(self._claim)
