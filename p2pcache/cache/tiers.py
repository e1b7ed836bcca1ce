"""The interface between the cache and what holds entries: disk, peers, S3, IPFS. Joined in `node`, nowhere else.

A tier moves sealed bytes: it can neither read what it stores nor make a body that passes `codec.open_block`.
Every call has a deadline of the tier's own and returns nothing when it passes; a tier never raises into a request.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from p2pcache.backends import Backend
from p2pcache.cache.entry import Pointer
from p2pcache.cache.sealing import Keyring
from p2pcache.values import Secret

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Tier(Protocol):
    """A place where entries are found and kept."""

    backend: Backend
    """Its declaration."""

    async def find(self, resource: bytes) -> Sequence[Pointer]:
        """Return all pointers of a resource (its 32-byte name), of any scope and age, without a round trip to peers."""
        ...

    async def block(self, pointer: Pointer) -> bytes | None:
        """Return the sealed block that `pointer.cid` names, or None; the caller verifies the bytes and opens them."""
        ...

    async def store(self, pointer: Pointer, sealed: bytes) -> None:
        """Keep or announce an entry. The tier may have `sealed` already: a renewed pointer moves no block."""
        ...

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        """Forget every pointer that carries one of `topics`; with `scope`, only that scope's.

        Only what was proved by `until` (Unix seconds): a drop may arrive late.
        """
        ...

    async def close(self) -> None:
        """Finish what is under way; afterwards every call returns nothing."""
        ...


@runtime_checkable
class Store(Tier, Protocol):
    """A tier that keeps blocks on this host, for members too, and can be listed."""

    @property
    def trouble(self) -> str:
        """What keeps new entries from being stored at present, one sentence; empty when nothing does."""
        ...

    @property
    def errors(self) -> int:
        """The number of failures so far."""
        ...

    async def sealed(self, cid: bytes) -> bytes | None:
        """Return the sealed block with this CID, or None."""
        ...

    async def pointers(self, limit: int) -> Sequence[Pointer]:
        """Return at most `limit` pointers, the newest first."""
        ...

    async def usage(self) -> tuple[int, int]:
        """Return the number of entries and the bytes they take."""
        ...

    async def clear(self) -> None:
        """Forget all entries."""
        ...


@runtime_checkable
class Remote(Tier, Protocol):
    """A tier behind a service, which may be slow, or away."""

    async def open(self) -> None:
        """Connect, when the node starts, beside its first requests; a failure is logged, and tried again later."""
        ...

    def late(self) -> None:
        """Count an answer that came later than its caller could wait: a service as slow as that is of no use."""
        ...

    @property
    def trouble(self) -> str:
        """Why it is not used at present, one sentence; empty when it is."""
        ...

    def report(self) -> Mapping[str, Any]:
        """Return its row of ``/-/stats``."""
        ...


@dataclass(frozen=True, slots=True)
class Opening:
    """The arguments that a backend is opened with.

    Attributes:
        options: the values of its own settings, by field.
        directory: this node's, for what is to outlive it.
        keyring: seals what is not sealed yet.
        peers: the tier of the members, where there is a swarm.
    """

    options: Mapping[str, Any]
    directory: Path
    keyring: Keyring
    peers: Tier | None = None


@runtime_checkable
class Authorized(Tier, Protocol):
    """A tier whose service takes credentials that only a step of the job has: they come after the node's start."""

    async def authorize(self, results_url: str, token: Secret) -> None:
        """Use the service at this URL with this token, from now on.

        Raises:
            ValueError: one of the two cannot be used.
        """
        ...


@runtime_checkable
class Awaited(Tier, Protocol):
    """A tier to which another node may bring an entry within seconds: worth a wait while the quota is short."""

    async def arrival(self, resource: bytes) -> bool:
        """Wait until there is an entry of `resource` (its name), as long as the tier finds it worth it.

        Return whether there is one now. The tier bounds each wait, and all of them together.
        """
        ...


class Lease(Protocol[T_contra]):
    """The right to ask GitHub on behalf of all, held by the caller that `acquire` gave it to."""

    @property
    def waited(self) -> bool:
        """Whether another caller held it before, whose result may be in the tiers now."""
        ...

    async def release(self, result: T_contra | None) -> None:
        """End the lease; `result` is for the waiters of the same scope, None when there is nothing to share."""
        ...

    async def abandon(self) -> None:
        """End the lease without having asked GitHub: the next waiter takes the holder's place."""
        ...


@dataclass(frozen=True, slots=True)
class Freed(Generic[T]):
    """No lease, because a holder of the same scope was done first.

    `result` is its result, where that is handed over. None: look into the tiers, or ask without a lease.
    """

    result: T | None = None


class Leases(Protocol[T]):
    """One upstream call for all that want the same: the callers of a node, or the nodes of a fleet."""

    async def acquire(self, resource: bytes, scope: bytes, *, again: bool = False) -> Lease[T] | Freed[T]:
        """Return a lease at once where there is no holder; else wait until the holder released it, or died.

        `Freed` without a result means: look into the tiers again, and where they still have nothing acquire once more,
        with `again`: the holder's result cannot be had, and one of those that lack it should ask GitHub. Freed a
        second time (at once where the holder had no result): ask GitHub without a lease.
        """
        ...
