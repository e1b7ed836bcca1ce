"""Several trustless gateways as one source: whatever one of them does, the others are asked and their answers count."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from p2pcache.stores.breaker import Breaker
from p2pcache.stores.driver import StoreError
from p2pcache.stores.ipfs.trustless import TrustlessGateway

_log = logging.getLogger(__name__)

T = TypeVar("T")
FAILURES, FIRST_SECONDS, LONGEST_SECONDS = 2, 30.0, 60.0
"""Of a gateway's breaker. Fewer failures than open the store's, so that the store stays in use."""


class _Member(NamedTuple):
    gateway: TrustlessGateway
    breaker: Breaker


class Gateways:
    """Gateways that are asked at once. One that fails, or keeps a look-up waiting, is left alone for a while.

    Args:
        gateways: in any order.
        spared: whether a daemon has answered before they are asked, so that the store works without them.
        monotonic: seconds that no change of the clock touches.
    """

    def __init__(
        self,
        gateways: Sequence[TrustlessGateway],
        *,
        spared: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._members = [
            _Member(each, Breaker(monotonic, failures=FAILURES, first=FIRST_SECONDS, longest=LONGEST_SECONDS))
            for each in gateways
        ]
        self._spared = spared

    async def first(
        self,
        ask: Callable[[TrustlessGateway], Coroutine[Any, Any, T | None]],
        good: Callable[[T | None], bool],
        *others: Coroutine[Any, Any, T | None],
    ) -> T | None:
        """Return the first `good` result of a gateway or of `others`; else another one, which the caller refuses.

        Raises:
            StoreError: there was no result, and one of `others` failed, or all gateways where the store needs them.
        """
        if len(self._members) == 1 and not self._spared:
            return await ask(self._members[0].gateway)  # its failures are the store's
        race = _Race(good, self._spared)
        for call in others:
            race.enter(call, None)
        for member in self._members:
            if member.breaker.allows():
                race.enter(ask(member.gateway), member)
            elif not self._spared:
                race.failure = StoreError(member.breaker.why)
        return await race.run()

    async def close(self) -> None:
        """Close their connections."""
        for member in self._members:
            await member.gateway.close()


class _Race(Generic[T]):
    """Calls at once, until one has a `good` result; the breakers learn what became of each."""

    def __init__(self, good: Callable[[T | None], bool], spared: bool) -> None:
        self._good = good
        self._spared = spared
        self._waiting: dict[asyncio.Task[T | None], _Member | None] = {}
        self._other: T | None = None
        self._answered = False
        """Whether a gateway did, where the store needs them."""
        self.failure: StoreError | None = None
        """Raised where there is no result."""

    def enter(self, call: Coroutine[Any, Any, T | None], member: _Member | None) -> None:
        """Begin a call; `member` is the gateway that it asks."""
        self._waiting[asyncio.create_task(call)] = member

    async def run(self) -> T | None:
        """Return a result, or raise a failure, as `Gateways.first` does."""
        try:
            while self._waiting:
                done, _ = await asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if self._wins(task, self._waiting.pop(task)):
                        return task.result()
        except asyncio.CancelledError:
            if self._answered or self._spared:
                for member in self._waiting.values():
                    _failed(member, StoreError("it answers more slowly than the others"))
            raise
        finally:
            await self._abandon()
        if self._other is None and self.failure is not None and not self._answered:
            raise self.failure
        return self._other

    def _wins(self, task: asyncio.Task[T | None], member: _Member | None) -> bool:
        """Take note of a call that ended; return whether its result is the one to return."""
        try:
            found = task.result()
        except StoreError as error:
            _failed(member, error)
            if member is None or not self._spared:
                self.failure = error
            return False
        if member is not None:
            member.breaker.succeeded()
            self._answered = self._answered or not self._spared
        self._other = found or self._other
        return self._good(found)

    async def _abandon(self) -> None:
        for task, member in self._waiting.items():
            task.cancel()
            if member is not None:
                member.breaker.undecided()
        await asyncio.gather(*self._waiting, return_exceptions=True)


def _failed(member: _Member | None, error: StoreError) -> None:
    if member is not None and member.breaker.failed(str(error), lasting=error.lasting):
        _log.warning("ipfs: the gateway %s: %s; it is left alone for now", member.gateway.url, error)
