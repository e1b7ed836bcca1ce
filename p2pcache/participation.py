"""A node's part in the swarm, from before it joins until it leaves."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from p2pcache.github.quota import Bucket
from p2pcache.keys import NOT_ASKED, Enrolled, asks_for_keys
from p2pcache.peering import Peering
from p2pcache.settings import Settings
from p2pcache.values import Secret

if TYPE_CHECKING:
    from p2pcache.cache.entry import Pointer
    from p2pcache.cache.sealing import Keyring
    from p2pcache.cache.tiers import Leases
    from p2pcache.hub.job_admission import JobAdmission
    from p2pcache.swarm import Swarm, SwarmConfig
    from p2pcache.swarm.rules.admitted import TokenSource

log = logging.getLogger("p2pcache")

READY = "ready"


class Participation:
    """The swarm, and whether this node has joined it; a swarm that cannot be joined leaves the node working alone.

    Args:
        settings: how it takes part.
        keyring: proves that it may.
        peering: what the swarm asks of this node.
        alone: it takes no part.
        enrolled: what a hub gave this job for its OIDC token; that hub is dialled with tokens.

    Attributes:
        swarm: None when the node works alone.
        state: ``off``, ``starting``, ``ready``, or ``failed: `` and a sentence.
        failure: that sentence.
    """

    def __init__(
        self, settings: Settings, keyring: Keyring, peering: Peering, *, alone: bool, enrolled: Enrolled = NOT_ASKED
    ) -> None:
        self._hub = settings.hub
        self._peering = peering
        self.swarm: Swarm | None = None
        self.failure = enrolled.problem
        self.state = f"failed: {self.failure}" if self.failure else "off"
        self._admission: JobAdmission | None = None
        if not alone:
            from p2pcache.swarm import Swarm  # a node that works alone does not pay for it

            config = _config(settings, keyring)
            if enrolled.keys:
                config = replace(config, token=token_source(settings))
            if settings.hub and (settings.oidc_repositories or settings.oidc_owners):
                from p2pcache.hub.job_admission import job_admission  # nor a hub without a list for this

                self._admission = job_admission(settings)
                config = replace(config, gatekeeper=self._admission.admit)
            self.swarm = Swarm(config, peering, peering)
            self.state = "starting"

    @property
    def peer_id(self) -> str:
        """Empty until the node has joined."""
        return self.swarm.peer_id if self.swarm and self.state == READY else ""

    @property
    def multiaddrs(self) -> tuple[str, ...]:
        """Where other members reach this node; empty until it has joined."""
        return self.swarm.multiaddrs if self.swarm and self.state == READY else ()

    @property
    def port(self) -> int:
        """The TCP port that members dial, 0 while there is none."""
        return self.swarm.port if self.swarm else 0

    @property
    def leases(self) -> Leases[Pointer] | None:
        """The fleet's leases, which are granted at once until the node has joined."""
        return self.swarm.leases if self.swarm else None

    async def join(self) -> None:
        """Join the swarm; what prevents it is in `failure`, and logged unless this is meant to be a hub."""
        from p2pcache.swarm import SwarmError

        if self.swarm is None:
            return
        await self._peering.load_earlier()
        if self._admission is not None and (trouble := await self._admission.open()):
            log.warning("%s; until it does, no job is admitted by its OIDC token", trouble)
        try:
            await self.swarm.start()
        except SwarmError as error:
            self.failure = str(error)
            self.state = f"failed: {error}"
            if not self._hub:
                log.warning("%s; this node works alone", error)
        else:
            self.state = READY
            log.info("peer %s listens at %s", self.peer_id, ", ".join(self.multiaddrs))

    def rotate(self, keyring: Keyring, secrets: Sequence[Secret]) -> None:
        """Prove membership with the keys that `keyring` has now, and accept these alone; grant keys of `secrets`."""
        if self.swarm is not None:
            self.swarm.rotate(keyring.membership_keys)
        if self._admission is not None:
            self._admission.rotate(secrets)

    async def leave(self) -> None:
        """Leave the swarm; returns within a few seconds."""
        if self.swarm is not None:
            await self.swarm.stop()
        if self._admission is not None:
            await self._admission.close()

    async def drop_in_rooms(self, topics: tuple[str, ...]) -> None:
        """Drop clear topics at jobs whose keys are not this node's: see `swarm.Swarm.drop_in_rooms`."""
        if self.swarm is not None:
            await self.swarm.drop_in_rooms(topics)

    def publish(self, scope: str, bucket: Bucket) -> None:
        """Send the members a bucket as GitHub reported it to this node; `scope` is the clear one."""
        if self.swarm is not None and self.state == READY:
            self.swarm.publish_quota(*self._peering.seal_quota(scope, bucket))

    def rows(self) -> list[Mapping[str, Any]]:
        """Return the peers table."""
        return [msgspec.to_builtins(row) for row in self.swarm.peers()] if self.swarm else []

    def explain(self, name: bytes, cid: bytes, since: float) -> Sequence[str]:
        """See `swarm.Swarm.explain`."""
        return self.swarm.explain(name, cid, since) if self.swarm else ()


async def enrolled(settings: Settings) -> Enrolled:
    """Ask a hub for keys by this job's OIDC token, where it has no secret, but a hub and ``id-token: write``."""
    if not asks_for_keys(settings):
        return NOT_ASKED
    from p2pcache.swarm.enrolment import enrol
    from p2pcache.swarm.rules.config import SwarmError

    try:
        return Enrolled(await enrol(bootstrap_of(settings), token_source(settings)))
    except SwarmError as error:
        return Enrolled(problem=f"no CACHE_SECRET, and this job's OIDC token opened no hub: {error}")


def token_source(settings: Settings) -> TokenSource:
    """Return what asks the runner for OIDC tokens."""
    from p2pcache.runner.id_tokens import IdTokens

    return IdTokens(settings.id_token_url, settings.id_token_key or Secret("")).get


def _config(settings: Settings, keyring: Keyring) -> SwarmConfig:
    from p2pcache.swarm import SwarmConfig

    return SwarmConfig(
        listen=settings.p2p_listen or f"/ip4/0.0.0.0/tcp/{settings.p2p_port}",
        bootstrap=bootstrap_of(settings),
        announce=settings.announce,
        # A hub and the jobs of one user share a directory; one key would make them one peer.
        identity=settings.directory / ("identity.key" if settings.hub else "member.key"),
        membership_keys=keyring.membership_keys,
        hub=settings.hub,
        mdns=settings.mdns,
    )


def bootstrap_of(settings: Settings) -> tuple[str, ...]:
    """Return the bootstrap peers, each with the hub's peer id where it has none of its own."""
    return tuple(_with_peer(address, settings.hub_peer_id) for address in settings.bootstrap)


def _with_peer(address: str, peer_id: str) -> str:
    return f"{address.rstrip('/')}/p2p/{peer_id}" if peer_id and "/p2p/" not in address else address
