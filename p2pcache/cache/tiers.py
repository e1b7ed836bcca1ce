"""The seam between the cache and whatever holds entries: disk, peers, S3, IPFS. Joined in `node`, nowhere else.

A tier moves sealed bytes: it can neither read what it stores nor make a body that passes `Keyring.open_block`.
Every call has a deadline of the tier's own and answers "nothing" when it passes; a tier never raises into a request.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Protocol

from p2pcache.cache.entry import Pointer


class Tier(Protocol):
    """Somewhere entries are found and kept."""

    name: str
    """What `Cache-Status` and the ledger call a hit here: ``disk``, ``peer``, ``s3``, ..."""

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


class Lease(Protocol):
    """The right to ask GitHub on behalf of all, held by the node that `acquire` gave it to."""

    async def release(self, pointer: Pointer | None) -> None:
        """Done: `pointer` is what followers may now find, None when there was nothing to keep."""
        ...

    async def abandon(self) -> None:
        """Not done, and will not be: the next who waits takes the holder's place."""
        ...


class Leases(Protocol):
    """One upstream call for the fleet."""

    async def acquire(self, resource: bytes, scope: bytes, *, again: bool = False) -> Lease | None:
        """A lease at once when nobody holds one; else wait until the holder released it (or died) and answer None.

        None means: look into the tiers again, and if there is still nothing acquire once more, `again`: what was left
        before cannot be had, and of all who lack it one should ask GitHub. None to that, at once where the holder left
        nothing: ask GitHub yourself.
        """
        ...
