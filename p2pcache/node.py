"""The one place where the parts are put together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Self

from p2pcache import __version__, backends, reporting
from p2pcache.backends import Reach
from p2pcache.cache.buckets import Buckets
from p2pcache.cache.engine import Engine, Policy
from p2pcache.cache.library import Library
from p2pcache.cache.memory import Memory
from p2pcache.cache.tiers import Authorized, Opening, Tier
from p2pcache.clock import unix_time
from p2pcache.gateway import request_log
from p2pcache.gateway.app import Gateway
from p2pcache.gateway.bounds import DEFAULT_BOUNDS, ClientBounds
from p2pcache.gateway.caller_limits import CallerLimits
from p2pcache.gateway.control import TOKEN_FILE, ControlPlane, Gate, chosen_token, own_token
from p2pcache.gateway.endpoints import NodeEndpoints
from p2pcache.gateway.exchange import Receive, Send
from p2pcache.gateway.fast_path import FastPath
from p2pcache.gateway.http_upstream import HttpUpstream
from p2pcache.gateway.reads import Reads
from p2pcache.gateway.relay import Relay
from p2pcache.gateway.routing import Router, Upstreams
from p2pcache.gateway.server import Server
from p2pcache.gateway.survival import Survival
from p2pcache.github import scopes, writes
from p2pcache.github.quota import Bucket, charged
from p2pcache.health import Health
from p2pcache.hub.addons import Addons
from p2pcache.hub.page import PageSources
from p2pcache.keys import NOT_ASKED, Enrolled, identity_of, keyring_of, reread
from p2pcache.listening import Listening, open_all, socket_path
from p2pcache.participation import Participation, enrolled
from p2pcache.peering import Peering
from p2pcache.reporting import Reporting, write_json
from p2pcache.settings import Settings, SettingsError, Share
from p2pcache.values import Secret

log = logging.getLogger("p2pcache")

JOIN = "join"


class Node:
    """A cache node: gateway, cache and swarm. Start it, stop it; `serve` does both around a signal.

    Args:
        settings: all that the user chose.
        bounds: what a client may take of the gateway.
        enrolled: what a hub gave this job for its OIDC token, if it was asked.
    """

    def __init__(
        self, settings: Settings, bounds: ClientBounds = DEFAULT_BOUNDS, enrolled: Enrolled = NOT_ASKED
    ) -> None:
        self.settings = settings
        self._bounds = bounds
        self.address = ""
        self.ledger = reporting.restored(settings.stats_file)
        self.keyring, self.alone = keyring_of(settings, enrolled)
        self._upstreams = Upstreams(settings.upstream)
        token = settings.token.reveal() if settings.token else None
        self.upstream = HttpUpstream(self._upstreams, __version__, self._counted, token)
        self.buckets = Buckets(unix_time, self._quota_changed)
        self.library = Library(
            Memory(settings.memory_bytes),
            (),
            self.keyring,
            verified=settings.share is Share.VERIFIED,
            bases=self._upstreams.bases,
            failed=self.ledger.error,
        )
        peering = Peering(self.library, self.buckets, self.keyring, self._quota_known)
        self.participation = Participation(settings, self.keyring, peering, alone=bool(self.alone), enrolled=enrolled)
        self.swarm = self.participation.swarm
        self.library.mount(self._tiers(self.swarm.tier if self.swarm else None))
        self.disk = self.library.store
        policy = Policy(settings.lifetimes, node=lambda: self.participation.peer_id, rule_failed=self._rule_failed)
        self.engine = Engine(self.library, self.upstream, self.buckets, policy, self.participation.leases)
        if settings.oidc_repositories or settings.oidc_owners:
            self.engine.elsewhere.append(self.participation.drop_in_rooms)
        sources = PageSources(self.stats, self.participation.rows, self.ready, settings.hub)
        self._addons = Addons(settings, sources)
        self._observers = (*request_log.observers(), *self._addons.observers)
        self._hot = FastPath(self.library.memory, self.buckets, self.ledger, unix_time, self._observers)
        self._health = Health(
            self.disk, self.library.remotes, self.upstream, self.swarm, expects_peers=bool(settings.bootstrap)
        )
        self._reporting = Reporting(
            settings.upstream, self.ledger, self.library, self.swarm, self.engine.trial, self._health
        )
        self._foreign_logged = False
        self._app: Gateway | None = None
        self._server: Server | None = None
        self._exit = contextlib.ExitStack()
        self.listening: Listening | None = None
        self._background: list[asyncio.Task[None]] = []

    @classmethod
    async def of(cls, settings: Settings) -> Self:
        """Return a node with the keys that a hub gives this job for its OIDC token, where it asks for them.

        Raises:
            SettingsError: see `keys.keyring_of`.
        """
        return cls(settings, enrolled=await enrolled(settings))

    # Parts

    def _tiers(self, peers: Tier | None) -> tuple[Tier, ...]:
        settings = self.settings
        opening = Opening(settings.options, settings.directory, self.keyring, peers)
        chosen = [backends.named(name) for name in settings.backends]
        if settings.share is Share.OFF:  # what this node keeps stays on its host
            chosen = [backend for backend in chosen if backend.reach is Reach.HOST]
        if not self.keyring.lasting and (useless := [b for b in chosen if b.reach is Reach.ANYWHERE and not b.ended]):
            names = ", ".join(sorted(backend.name for backend in useless))
            log.warning("%s: no other node could read what this one would keep there: set CACHE_SECRET", names)
            chosen = [backend for backend in chosen if backend not in useless]
        opened = (backend.open(opening) for backend in chosen)
        return tuple(tier for tier in opened if tier is not None)

    def _gateway(self) -> Gateway:
        settings = self.settings
        identity = identity_of(settings)
        if settings.token:
            own = {"authorization": f"token {settings.token.reveal()}"}
            self.ledger.scope = scopes.shown(scopes.scope_of(own, identity.job_token, identity.repository))
        relay = Relay(self.upstream, self._upstreams)
        reads = Reads(
            engine=self.engine,
            keyring=self.keyring,
            identity=identity,
            ledger=self.ledger,
            hot=self._hot,
            relay=relay,
            upstream=self.upstream,
            upstreams=self._upstreams,
            clock=unix_time,
            peers_asked=self.participation.explain,
        )
        names = frozenset({settings.listen.host.lower(), socket.gethostname().lower()})
        return Gateway(
            router=Router(self._upstreams, names),
            engine=self.engine,
            upstream=self.upstream,
            relay=relay,
            reads=reads,
            limits=CallerLimits(identity, self.buckets),
            ledger=self.ledger,
            control=self._control(),
            bounds=self._bounds,
            observers=self._observers,
            local=bool(settings.gateway_host),
        )

    def _control(self) -> ControlPlane:
        gate = Gate(chosen_token(self.settings) or self._own_token())
        endpoints = NodeEndpoints(
            gate=gate,
            stats=self.stats,
            peers=self.participation.rows,
            health=lambda: self._health.reasons(self.participation.state),
            purge=self.purge,
            bases=self._upstreams.bases,
            authorize=self.authorize,
        )
        addons = self._addons.endpoints(
            self._asked, gate, self._upstreams, self.library, self.engine.wrote, self.ledger
        )
        return ControlPlane(gate, (*endpoints.all(), *addons))

    async def _asked(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request that a part of this node makes."""
        if self._app is not None:
            await self._app(scope, receive, send)

    def _own_token(self) -> str | None:
        # Several nodes may share a directory, a hub and that of `up` for one; a socket is one node's alone.
        named = self.settings.socket
        path = named.with_name(f"{named.name}.{TOKEN_FILE}") if named else self.settings.directory / TOKEN_FILE
        try:
            return self._exit.enter_context(own_token(path))
        except OSError as error:
            log.warning("no control token can be kept (%s): the unix socket alone may change this node", error.strerror)
            return None

    # Life

    async def start(self) -> None:
        """Answer requests, then join the swarm beside it.

        Raises:
            ListenError: an address cannot be listened on.
            SettingsError: the ready file cannot be written; or what is meant to be a hub cannot be one.
        """
        settings = self.settings
        self.listening = open_all(settings)
        self.address = self.listening.url
        await self.upstream.__aenter__()
        survival = Survival.inherit(*settings.keeper, settings.adopt) if settings.keeper else None
        self._app = self._gateway()
        self._server = Server(self._app, self._hot, survival, self._bounds, local=bool(settings.gateway_host))
        await self._server.start(self.listening.plain, self.listening.tls)
        self.library.start()
        if self.swarm is not None:
            joining = asyncio.create_task(self._join(), name=JOIN)
            self._background.append(joining)
            if settings.hub:
                await joining
                if self.participation.failure:  # a hub that works alone would look like one for ever
                    raise SettingsError(self.participation.failure)
        self._addons.start()
        if settings.stats_file:
            keeping = reporting.keep(settings.stats_file, self.stats)
            self._background.append(asyncio.create_task(keeping, name="stats"))
        self._background.append(asyncio.create_task(self._reporting.measure(), name="measure"))
        self._write_ready()

    async def settled(self, seconds: float) -> None:
        """Wait, but no longer than that, until the swarm is there, or is known not to be."""
        if joining := [task for task in self._background if task.get_name() == JOIN]:
            await asyncio.wait(joining, timeout=seconds)

    @property
    def socket(self) -> Path:
        """Where the unix socket is."""
        return self.listening.path if self.listening else socket_path(self.settings)

    async def _join(self) -> None:
        await self.participation.join()
        self._write_ready()

    async def stop(self) -> None:
        """Answer what is under way, leave the swarm, write the counts; every part within its bound."""
        await self._addons.end()
        if self._server is not None:
            await self._server.stop()
        await self._addons.close()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.library.flush()
        await self.participation.leave()
        await self.library.close()
        await self.upstream.__aexit__(None, None, None)
        if self.listening is None:  # it never began: what stands at these paths is another node's
            return
        if self.settings.stats_file:
            write_json(self.settings.stats_file, self.stats())
        if self.listening.own_path:
            self.socket.unlink(missing_ok=True)
        self._exit.close()

    def reload(self) -> None:
        """Read the certificate and the file of the secret again; what cannot be used is logged, and changes nothing."""
        if self.listening is not None:
            self.listening.reload()
        if secrets := reread(self.settings, self.keyring):
            self.participation.rotate(self.keyring, secrets)
            self._hot.clear()  # its answers would outlive the names under which a drop reaches them

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    # What others see

    def stats(self) -> Mapping[str, Any]:
        """The ledger, with the peers and quotas of this moment."""
        return self._reporting.stats(self.participation.state)

    @property
    def multiaddrs(self) -> tuple[str, ...]:
        """Where other members reach this node."""
        return self.participation.multiaddrs

    async def purge(self, target: str | None) -> None:
        """Forget one API target, or everything, here and at the peers."""
        if target is None:
            await self.engine.wrote((writes.ALL,))
            self.library.memory.clear()
            if self.disk is not None:
                await self.disk.clear()
        else:
            await self.engine.wrote(writes.drops("PUT", target.partition("?")[0]))

    async def authorize(self, results_url: str, token: Secret) -> bool:
        """Hand credentials of the Actions cache to the tiers that use it; return whether there are any.

        Raises:
            ValueError: they cannot be used.
        """
        tiers = [tier for tier in self.library.tiers if isinstance(tier, Authorized)]
        for tier in tiers:
            await tier.authorize(results_url, token)
        return bool(tiers)

    def ready(self) -> dict[str, Any]:
        """The ready file's content (docs/interface.md#the-ready-file)."""
        return {
            "pid": os.getpid(),
            "api_url": self.address,
            "graphql_url": f"{self.address}/graphql",
            "socket": str(self.socket),
            "peer_id": self.participation.peer_id,
            "multiaddrs": list(self.multiaddrs),
            "p2p": self.participation.state,
            "p2p_port": self.participation.port,
            "version": __version__,
        }

    def _write_ready(self) -> None:
        if (file := self.settings.ready_file) is None:
            return
        try:
            write_json(file, self.ready())
        except OSError as error:
            raise SettingsError(f"--ready-file {file}: {error.strerror}; name a file that can be written") from None

    # What the parts report

    def _counted(self, status: int, authorised: bool, path: str) -> None:
        self.ledger.upstream(status, charged=charged(status, authorised, path), not_modified=status == 304)

    def _quota_known(self, scope: str, bucket: Bucket) -> None:
        self.ledger.quota(scopes.shown(scope), bucket.resource, bucket.limit, bucket.remaining, bucket.reset)

    def _quota_changed(self, scope: str, bucket: Bucket) -> None:
        self._quota_known(scope, bucket)
        self.participation.publish(scope, bucket)

    def _rule_failed(self, shape: str) -> None:
        trial = self.engine.trial
        if trial.foreign(time.monotonic()) and not self._foreign_logged:
            self._foreign_logged = True
            log.warning(
                "this upstream does not compute ETags by the rule the cache relies on: entries of other tokens are not "
                "reused; ordinary ETags, Last-Modified and lifetimes remain"
            )
        else:
            log.info(
                "the ETags of %s do not follow the rule now: for an hour only the job's own entries are proved", shape
            )
