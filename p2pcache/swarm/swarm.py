"""The swarm as the node sees it. asyncio side."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from p2pcache.addresses import Address, parse
from p2pcache.cache.entry import Pointer
from p2pcache.cache.tiers import Leases, Tier
from p2pcache.swarm import key_file
from p2pcache.swarm.bridge import Bridge, BridgeClosed
from p2pcache.swarm.bridged_node import BridgedNode
from p2pcache.swarm.key_file import HeldKey
from p2pcache.swarm.protocol.membership_proof import KEY
from p2pcache.swarm.rules.config import BlockStore, Limits, PeerRow, SwarmConfig, SwarmError, SwarmEvents
from p2pcache.swarm.rules.directory import Directory
from p2pcache.swarm.rules.reasons import fault
from p2pcache.swarm.services.fetch_log import explain
from p2pcache.swarm.services.link import Host
from p2pcache.swarm.services.mesh import Mesh
from p2pcache.swarm.tier import FleetLeases, PeerTier

_GOODBYE = 1.0

HostFactory = Callable[[bytes, Address, Limits], Host]
"""Makes the transport in the swarm's thread: from the key's seed, the listen address and the limits."""


def libp2p(seed: bytes, listen: Address, limits: Limits) -> Host:
    """Return the transport that nodes use; call it in the swarm's thread."""
    from p2pcache.swarm.host import LibP2PHost

    return LibP2PHost(seed, listen, limits)


class Swarm:
    """This node's part in the swarm.

    Args:
        config: how it takes part.
        store: the blocks it can give.
        events: what it is called for.
        host: another transport, for tests.
    """

    def __init__(
        self, config: SwarmConfig, store: BlockStore, events: SwarmEvents, *, host: HostFactory = libp2p
    ) -> None:
        limits = config.limits
        self._config = config
        self._store = store
        self._events = events
        self._make_host = host
        self._directory = Directory(limits.directory, limits.directory_per_peer, limits.drops)
        self._tier = PeerTier(self._directory, limits)
        self._leases = FleetLeases(limits)
        self._bridge: Bridge | None = None
        self._mesh: Mesh | None = None
        self._members = 0
        self._alone_since = time.monotonic()
        self._changed = asyncio.Condition()
        self._waking: asyncio.Task[None] | None = None
        self._key: HeldKey | None = None
        self.peer_id = ""
        self.multiaddrs: tuple[str, ...] = ()
        self.port = 0
        self.tier: Tier = self._tier
        self.leases: Leases[Pointer] = self._leases

    async def start(self) -> None:
        """Start; return when this node listens. Dialling goes on in the background.

        Raises:
            SwarmError: one sentence: the configuration, the identity file or the port cannot be used.
        """
        listen, bootstrap = self._checked()
        self._key = await asyncio.to_thread(key_file.hold, self._config.identity)
        try:
            await self._begin(listen, bootstrap, self._key)
        except SwarmError:
            self._key.release()
            raise

    async def _begin(self, listen: Address, bootstrap: tuple[Address, ...], own: HeldKey) -> None:
        if self._config.hub and not own.kept:
            raise SwarmError(
                f"another hub runs with {self._config.identity}: stop it, or give this one its own directory with --dir"
            )
        self.peer_id = own.identity.peer
        bridge = Bridge()
        node = BridgedNode(bridge, self._store, self._events, self._count)
        ready: asyncio.Future[tuple[Mesh, tuple[str, ...]]] = asyncio.get_running_loop().create_future()

        async def main() -> None:
            host = self._make_host(own.identity.seed, listen, self._config.limits)
            token = None if self._config.token is None else partial(bridge.ask, self._config.token)
            gatekeeper = None if self._config.gatekeeper is None else partial(bridge.ask, self._config.gatekeeper)
            mesh = Mesh(self._config, bootstrap, host, node, self._directory, own.identity, token, gatekeeper)
            await mesh.run(lambda addresses: bridge.post_back(ready.set_result, (mesh, addresses)))

        finished = bridge.start(main)
        either: list[asyncio.Future[Any]] = [ready, finished]
        await asyncio.wait(either, timeout=self._config.limits.start_timeout, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await bridge.stop(self._config.limits.stop_timeout)
            raise _failure(finished.result() if finished.done() else None)
        self._mesh, self.multiaddrs = ready.result()
        self.port = self._mesh.port
        self._bridge = bridge
        self._tier.attach(bridge, self._mesh)
        self._leases.attach(bridge, self._mesh)
        finished.add_done_callback(self._stopped)

    async def stop(self) -> None:
        """Close everything; return within a few seconds."""
        bridge, self._bridge = self._bridge, None
        if bridge is not None and self._mesh is not None:
            with contextlib.suppress(BridgeClosed, TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await bridge.call(self._mesh.leave)
        if bridge is not None and not await bridge.stop(self._config.limits.stop_timeout):
            self._events.warn("the swarm did not stop in time and is left behind")
        if self._key is not None:
            self._key.release()

    async def drop_in_rooms(self, topics: tuple[str, ...]) -> None:
        """Drop clear topics at the jobs that a hub admitted by tokens; return when they have, or after a deadline."""
        if self._bridge is None or self._mesh is None or self._mesh.rooms is None:
            return
        with contextlib.suppress(BridgeClosed, TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await self._bridge.call(self._mesh.rooms.drop, topics)

    def publish_quota(self, scope: bytes, state: bytes) -> None:
        """Send members the newest bucket state of a scope, at most 1,024 sealed bytes."""
        if self._bridge is not None and self._mesh is not None:
            self._bridge.post(self._mesh.quotas.publish, scope, state)

    def rotate(self, membership_keys: tuple[bytes, ...]) -> None:
        """Use other membership keys, 32 bytes each, for every handshake from now on; links that are there stay."""
        self._config = replace(self._config, membership_keys=membership_keys)
        if self._bridge is not None and self._mesh is not None:
            self._bridge.post(self._mesh.rotate, membership_keys)

    def peers(self) -> list[PeerRow]:
        """Return the table of `p2pcache peers`: connected, relayed, and what was refused or dropped lately."""
        # Read without crossing over: a row that is a moment old, or half a frame ahead, does no harm.
        return [] if self._mesh is None else self._mesh.rows()

    def activity(self) -> Mapping[str, int]:
        """Return what this node did for the swarm since its start, by the names of `services.activity`."""
        return {} if self._mesh is None else self._mesh.members.activity.totals(self._mesh.sessions())

    def alone_for(self) -> float:
        """Return the seconds since the last member left, or since the start; 0 while there is one."""
        return 0.0 if self._members or self._mesh is None else time.monotonic() - self._alone_since

    def counters(self) -> Mapping[str, int]:
        """Return what went wrong, counted: the ledger's "errors"."""
        return {} if self._mesh is None else dict(self._mesh.members.activity.errors)

    def explain(self, name: bytes, cid: bytes, since: float) -> list[str]:
        """Return which peers were asked for a resource `since` then (`time.monotonic`), and why not the others."""
        if (mesh := self._mesh) is None:
            return []
        return explain(name, cid, since, mesh.blocks.log, mesh.members, self._directory)

    async def connected(self, n: int = 1, timeout: float = 5.0) -> bool:  # noqa: ASYNC109  # its result, no error, says so
        """Wait until `n` members have proved themselves; return whether they did."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: self._members >= n)
        except TimeoutError:
            return False
        return True

    def _checked(self) -> tuple[Address, tuple[Address, ...]]:
        config = self._config
        if not config.membership_keys or any(len(key) != KEY for key in config.membership_keys):
            raise SwarmError("the swarm needs a secret: set CACHE_SECRET to what `p2pcache keygen` prints")
        try:
            listen = parse(config.listen, listen=True)
            for text in config.announce:
                parse(text)
            return listen, tuple(parse(text) for text in config.bootstrap)
        except ValueError as error:
            raise SwarmError(str(error)) from None

    def _count(self, members: int) -> None:
        if self._members and not members:
            self._alone_since = time.monotonic()
        self._members = members
        self._waking = asyncio.ensure_future(self._wake())

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _stopped(self, finished: asyncio.Future[BaseException | None]) -> None:
        self._members = 0
        if error := finished.result():
            self._events.warn(f"the swarm ended by an internal error ({fault(error)}): this node works alone")


def _failure(error: BaseException | None) -> SwarmError:
    if isinstance(error, SwarmError):
        return error
    if isinstance(error, ModuleNotFoundError):
        return SwarmError("libp2p is not installed: install p2pcache with its dependencies, or use --no-p2p")
    return SwarmError(f"the swarm cannot start ({fault(error) if error else 'it took too long'})")
