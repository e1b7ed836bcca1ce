"""The peers as the cache sees them: a tier, and leases. asyncio side."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Collection, Sequence

from p2pcache.backends.p2p import BACKEND
from p2pcache.cache.entry import Pointer
from p2pcache.cache.tiers import Freed, Lease
from p2pcache.swarm.bridge import Bridge, BridgeClosed
from p2pcache.swarm.rules.config import Limits
from p2pcache.swarm.rules.directory import Directory
from p2pcache.swarm.services.mesh import Mesh

_GRACE = 0.05


class PeerTier:
    """`cache.tiers.Tier`: what other members hold."""

    backend = BACKEND

    def __init__(self, directory: Directory, limits: Limits) -> None:
        self._directory = directory
        self._limits = limits
        self._bridge: Bridge | None = None
        self._mesh: Mesh | None = None

    def attach(self, bridge: Bridge, mesh: Mesh) -> None:
        """Begin: until then, and after the swarm stopped, the tier is empty."""
        self._bridge, self._mesh = bridge, mesh

    async def find(self, resource: bytes) -> Sequence[Pointer]:
        """Return what members announced for a resource, the latest proved first. Local: no round trip."""
        return self._directory.find(resource)

    async def block(self, pointer: Pointer) -> bytes | None:
        """Return the block from the best holder, hash verified, within the peer deadline; else None."""
        if self._bridge is None or self._mesh is None or not self._directory.holders(pointer.cid):
            return None
        with contextlib.suppress(BridgeClosed):
            return await self._bridge.call(self._mesh.blocks.fetch, pointer.cid)
        return None

    async def store(self, pointer: Pointer, sealed: bytes) -> None:  # noqa: ARG002  # announced; peers ask for the bytes
        """Announce it, with what else is announced in the same few milliseconds."""
        if self._bridge is not None and self._mesh is not None:
            self._bridge.post(self._mesh.blocks.announce, (pointer,))

    async def drop(
        self,
        topics: Collection[bytes],
        scope: bytes | None = None,
        until: float = math.inf,  # noqa: ARG002  # for a tier that gets it late; peers get it at once
    ) -> None:
        """Return when every connected peer has forgotten them, or `Limits.drop_timeout` has passed."""
        if self._bridge is not None and self._mesh is not None:
            with contextlib.suppress(BridgeClosed, TimeoutError):
                async with asyncio.timeout(
                    self._limits.drop_timeout + _GRACE
                ):  # a starved thread must not hold writers
                    await self._bridge.call(self._mesh.invalidations.drop, tuple(topics), scope)

    async def close(self) -> None:
        """Nothing to do: the swarm ends by itself."""


class _Alone:
    """The lease of a node without peers."""

    waited = False

    async def release(self, pointer: Pointer | None) -> None:
        """No member waits."""

    async def abandon(self) -> None:
        """No member waits."""


class _Held:
    """A lease the swarm knows of. Whether another member held it before is the arbiter's knowledge."""

    waited = True

    def __init__(self, bridge: Bridge, mesh: Mesh, token: int) -> None:
        self._bridge = bridge
        self._mesh = mesh
        self._token = token

    async def release(self, pointer: Pointer | None) -> None:
        """See `cache.tiers.Lease`."""
        self._bridge.post(self._mesh.leases.release, self._token, pointer)

    async def abandon(self) -> None:
        """See `cache.tiers.Lease`."""
        self._bridge.post(self._mesh.leases.abandon, self._token)


class FleetLeases:
    """`cache.tiers.Leases` over all connected members."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bridge: Bridge | None = None
        self._mesh: Mesh | None = None

    def attach(self, bridge: Bridge, mesh: Mesh) -> None:
        """Begin: until then every lease is given at once."""
        self._bridge, self._mesh = bridge, mesh

    async def acquire(self, resource: bytes, scope: bytes, *, again: bool = False) -> Lease[Pointer] | Freed[Pointer]:
        """Return a lease at once when no member holds one, or when there are no peers; else see `cache.tiers.Leases`.

        After waiting, a lease may be given too: the holder died, or was of another scope. Never waits longer than
        `Limits.lease`.
        """
        if self._bridge is None or self._mesh is None or not len(self._mesh.members):
            return _Alone()
        caller = object()
        try:
            async with asyncio.timeout(self._limits.lease + _GRACE):
                token = await self._bridge.call(self._mesh.leases.acquire, resource, scope, again, caller)
        except (BridgeClosed, TimeoutError):
            self._bridge.post(self._mesh.leases.forsake, caller)
            return _Alone()
        except asyncio.CancelledError:
            self._bridge.post(self._mesh.leases.forsake, caller)
            raise
        return Freed() if token is None else _Held(self._bridge, self._mesh, token)
