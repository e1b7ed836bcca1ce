"""The seam between the cache and whatever holds entries: disk, peers, S3, IPFS. Joined in `node`, nowhere else.

A tier moves sealed bytes: it can neither read what it stores nor make a body that passes `Keyring.open_block`.
Every call has a deadline of the tier's own and answers "nothing" when it passes; a tier never raises into a request.
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

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Tier(Protocol):
    """Somewhere entries are found and kept."""

    backend: Backend
    """What it is, as it declares itself."""

    async def find(self, resource: bytes) -> Sequence[Pointer]:
        """All known pointers for a resource name, whatever their scope and age; must not cost a round trip to peers."""
        ...

    async def block(self, pointer: Pointer) -> bytes | None:
        """The sealed block `pointer.cid` names, or None. Bytes are not trusted: the caller verifies and opens them."""
        ...

    async def store(self, pointer: Pointer, sealed: bytes) -> None:
        """Keep, or announce. `sealed` may be known already: a renewed pointer moves no block."""
        ...

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        """Forget every pointer that carries one of `topics`; with `scope`, only that scope's.

        `until`, Unix seconds: only what was proved until then. A drop may be heard of late.
        """
        ...

    async def close(self) -> None:
        """Finish what is under way; afterwards every call finds nothing."""
        ...


@runtime_checkable
class Store(Tier, Protocol):
    """A tier that keeps the blocks on this host, for members too, and can be looked into."""

    @property
    def trouble(self) -> str:
        """What keeps new entries from being stored at present, one sentence; empty when all is well."""
        ...

    @property
    def errors(self) -> int:
        """Failures so far."""
        ...

    async def sealed(self, cid: bytes) -> bytes | None:
        """The sealed block with this CID."""
        ...

    async def pointers(self, limit: int) -> Sequence[Pointer]:
        """At most `limit` pointers, the newest first."""
        ...

    async def usage(self) -> tuple[int, int]:
        """How many entries there are, and how many bytes they take."""
        ...

    async def clear(self) -> None:
        """Forget everything."""
        ...


@dataclass(frozen=True, slots=True)
class Opening:
    """What a backend is opened with.

    Attributes:
        options: the values of its own settings, by field.
        directory: of this node, for what is to outlive it.
        keyring: seals what is not sealed yet.
        peers: the members, where there is a swarm.
    """

    options: Mapping[str, Any]
    directory: Path
    keyring: Keyring
    peers: Tier | None = None


class Lease(Protocol[T_contra]):
    """The right to ask GitHub on behalf of all, held by the caller that `acquire` gave it to."""

    @property
    def waited(self) -> bool:
        """Whether somebody else held it before: what that holder left may be found now."""
        ...

    async def release(self, left: T_contra | None) -> None:
        """Done: `left` is for those that wait in the same scope, None when there is nothing to share."""
        ...

    async def abandon(self) -> None:
        """Not done, and will not be: the next that waits takes the holder's place."""
        ...


@dataclass(frozen=True, slots=True)
class Freed(Generic[T]):
    """No lease: a holder of the same scope was done first.

    `left` is what it left, where that is handed over. None: look into the tiers, or ask without a lease.
    """

    left: T | None = None


class Leases(Protocol[T]):
    """One upstream call for all that want the same: the callers of a node, or the nodes of a fleet."""

    async def acquire(self, resource: bytes, scope: bytes, *, again: bool = False) -> Lease[T] | Freed[T]:
        """A lease at once when nobody holds one; else wait until the holder released it, or died.

        Freed with nothing means: look into the tiers again, and if there is still nothing acquire once more, `again`:
        what was left before cannot be had, and of all that lack it one should ask GitHub. Freed again, at once where
        the holder left nothing: ask GitHub without a lease.
        """
        ...
