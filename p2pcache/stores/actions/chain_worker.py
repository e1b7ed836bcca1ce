"""Reads and writes a chain beside the requests: one task, one call of the service at a time, paced."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import secrets
from collections.abc import Callable
from typing import Protocol

from p2pcache.cache.sealing import Keyring
from p2pcache.stores.actions.awaiting import Awaiting
from p2pcache.stores.actions.cache_service import CacheGrant, DeniedError, Hit, LimitedError, ServiceError
from p2pcache.stores.actions.chain import Chain
from p2pcache.stores.actions.pacing import Pacing, Step
from p2pcache.stores.actions.packs import Pack, open_pack, seal_pack

_log = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
"""For what the newest pack lacks, when the node stops."""
KEYS = "p2pcache-1"
"""How all keys begin; the number is the format's."""
_NONCE = 9
_LAST_PACKS = 2
_RECENT_SECONDS = 2.0
"""A look-up that is no older is not repeated before a pack is written."""


class PackService(Protocol):
    """What the worker needs of `cache_service.CacheService`."""

    async def find(self, key: str) -> Hit | None:
        """See there."""
        ...

    async def fetch(self, hit: Hit) -> bytes:
        """See there."""
        ...

    async def save(self, key: str, data: bytes) -> None:
        """See there."""
        ...

    async def reserve(self, key: str) -> bool:
        """See there."""
        ...

    async def close(self) -> None:
        """See there."""
        ...


class ChainWorker:
    """One pair of credentials' work on a chain.

    Args:
        chain: what is known of it.
        service: where its packs are.
        keyring: seals and opens them.
        grant: whose chain it is, and those that are read once.
        jitter: see `pacing.Pacing`.

    Attributes:
        why: the latest failure; empty once a call succeeded.
        calls: of the service.
        refused: packs of other fleets, and damaged ones.
    """

    def __init__(
        self,
        chain: Chain,
        service: PackService,
        keyring: Keyring,
        grant: CacheGrant,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.why = ""
        self.calls = 0
        self.refused = 0
        self._chain = chain
        self._service = service
        self._keyring = keyring
        self._own = self._prefix(grant.own)
        self._others = [self._prefix(ref) for ref in grant.others]
        self._now = asyncio.get_running_loop().time
        self._pacing = Pacing(self._now, jitter)
        if not grant.writable:
            self._pacing.denied(Step.WRITE)
        self._cold = True
        self._failure_level = logging.INFO
        self._read_at = -math.inf
        self._changed = asyncio.Event()
        self._busy = asyncio.Lock()
        self._awaiting = Awaiting(self._now, self._urge)
        self._run = grant.run if grant.writable else ""
        self._follows: asyncio.Task[bool] | None = None
        self._task = asyncio.create_task(self._work(), name="actions cache")

    # What the tier reports

    def missed(self) -> None:
        """Have the chain looked at again: something was not found."""
        self._cold = True
        self._changed.set()

    def noted(self) -> None:
        """Have news considered."""
        self._changed.set()

    async def arrival(self, resource: bytes) -> bool:
        """Wait for a pack with this resource where another job of the run is the one to ask; return whether it came.

        The first job of a run that wants to wait leads: it asks GitHub at once, and writes packs more often.
        """
        if not self._run or self.trouble:
            return False
        if self._follows is None:
            self._follows = asyncio.create_task(self._found_leader())
        if self._follows.done() and not self._follows.result():
            return False
        return await self._awaiting.until(lambda: bool(self._chain.shelf.find(resource)))

    @property
    def trouble(self) -> str:
        """Why packs are neither read nor written at present; empty when they are."""
        return self.why if self._pacing.pause(Step.READ) and self._pacing.pause(Step.WRITE) else ""

    async def close(self, *, flush: bool) -> None:
        """End the work; with `flush`, first write what the newest pack lacks, within `FLUSH_SECONDS`."""
        self._awaiting.end()
        if flush:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS), self._busy:
                    self._task.cancel()
                    await self._leave()
        tasks = [task for task in (self._task, self._follows) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._service.close()

    async def _leave(self) -> None:
        """Write the news for the next run; and once more where a job that ended at the same time overtook that."""
        if self._chain.news:
            await self._attempt(Step.READ)
        for _ in range(_LAST_PACKS):
            if not self._chain.worth_leaving or self._pacing.pause(Step.WRITE):
                return
            begun = self._now()
            await self._attempt(Step.WRITE)
            # Another job may have looked before this pack was there, and be about to write: it takes as long.
            await asyncio.sleep(self._now() - begun)
            await self._attempt(Step.READ)

    # The work

    async def _found_leader(self) -> bool:
        """Return whether another job of the run was the first to reserve the leader's key."""
        try:
            leads = await self._service.reserve(f"{self._own}lead/{self._run}".lower())
        except ServiceError:
            leads, follows = False, False
        else:
            follows = not leads
        if leads:
            self._pacing.lead()
            self._changed.set()
        if not follows:
            self._awaiting.end()
        return follows

    def _urge(self) -> None:
        """Look soon: a caller waits."""
        self._pacing.urge()
        self.missed()

    async def _work(self) -> None:
        while True:
            self._changed.clear()
            step, seconds = self._pacing.next(cold=self._cold, news=self._chain.news)
            if seconds > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds if seconds < math.inf else None):
                        await self._changed.wait()
                continue
            async with self._busy:
                await self._attempt(step)

    async def _attempt(self, step: Step) -> None:
        """Take a step, unless it is not allowed; a failure is remembered and paces those that follow."""
        if self._pacing.pause(step):
            return
        try:
            await (self._read() if step is Step.READ else self._write())
        except DeniedError as error:
            self._pacing.denied(step)
            self.why = str(error)
            _log.info("the Actions cache: %s; this job goes on without %s it", error, f"{step.value[:4]}ing")
        except LimitedError as error:
            self._pacing.limited(step, error.seconds)
            self._failed(error)
        except ServiceError as error:
            self._pacing.failed()
            self._failed(error)

    def _failed(self, error: ServiceError) -> None:
        self.why = str(error)
        # The first one of a job: the user cannot mend the service, and a job ends soon.
        level, self._failure_level = self._failure_level, logging.DEBUG
        _log.log(level, "the Actions cache: %s; the cache goes on without it and tries again", error)

    async def _read(self) -> None:
        """Look for a newer pack, and at first for those of the other refs."""
        self._cold = False
        new = await self._look(self._own, head=True)
        while self._others:
            new |= await self._look(self._others[0], head=False)
            del self._others[0]
        self._read_at = self._now()
        self._pacing.authors = self._chain.authors
        self._pacing.read(new=new)
        self.why = ""

    async def _look(self, prefix: str, *, head: bool) -> bool:
        """Learn the newest pack whose key begins so; return whether it is one that was not known."""
        self.calls += 1
        hit = await self._service.find(prefix)
        if hit is None or not hit.key.startswith(prefix) or self._chain.seen(hit.key):
            return False
        found = await self._open(hit)
        if found is None:
            return False
        if (base := self._chain.lacks(found)) is not None:
            await self._learn_base(base)
        self._chain.learn(hit.key, found, head=head)
        self._awaiting.look()
        return True

    async def _learn_base(self, key: str) -> None:
        """Learn the pack of this key; where it is gone, the next one written is a base."""
        self.calls += 1
        hit = await self._service.find(key)
        if hit is not None and hit.key == key and (found := await self._open(hit)) is not None:
            self._chain.learn_base(key, found)

    async def _open(self, hit: Hit) -> Pack | None:
        self.calls += 1
        data = await self._service.fetch(hit)
        found = await asyncio.to_thread(open_pack, self._keyring, hit.key, data)
        if found is None:
            self.refused += 1
            self._chain.refuse(hit.key)
        return found

    async def _write(self) -> None:
        """Write the news, unless the newest pack turns out to have it."""
        if self._now() - self._read_at > _RECENT_SECONDS:
            await self._attempt(Step.READ)
        if self._pacing.pause(Step.WRITE) or not self._chain.news:
            return
        key = f"{self._own}{secrets.token_hex(_NONCE)}"
        made = self._chain.compose()
        data = await asyncio.to_thread(seal_pack, self._keyring, key, made)
        self.calls += 3
        await self._service.save(key, data)
        self._chain.wrote(key, made)
        self._pacing.wrote()
        self.why = ""

    def _prefix(self, ref: str) -> str:
        """Return how the keys of a ref begin: by the secret, so that another fleet's are not met, and by the ref."""
        return f"{KEYS}/{self._keyring.key_id.hex()}/{self._keyring.scope_name(f'actions cache {ref}').hex()}/"
