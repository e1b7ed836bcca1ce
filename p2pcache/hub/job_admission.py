"""A hub that admits jobs by their OIDC tokens: what each token proves, and which keys the job gets for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from p2pcache.cache.sealing import Keyring, job_keys
from p2pcache.cache.wanted import all_scopes
from p2pcache.clock import unix_time
from p2pcache.github.id_token import audience
from p2pcache.github.oidc import (
    AdmissionList,
    JobIdentity,
    Replays,
    TokenError,
    UnknownKeyError,
    UnlistedError,
    key_id,
    verify,
)
from p2pcache.github.scopes import job_scope
from p2pcache.hub.issuer_keys import IssuerKeys
from p2pcache.settings import Settings
from p2pcache.swarm.rules.admitted import Admitted
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.values import Secret

log = logging.getLogger("p2pcache")

REMEMBERED = 1 << 16
"""Tokens that are in use at the same time; each is for about five minutes."""
_REFUSED = "its OIDC token is not accepted"


class JobAdmission:
    """Admits jobs.

    Args:
        admitted: the issuer, and whose tokens are accepted.
        keys: the issuer's.
        secrets: the hub's, the newest first; each job's keys are derived from all of them.
        upstream: the hub's API server, whose entries it seals anew for jobs that are not trusted.
        clock: Unix seconds.
    """

    def __init__(
        self,
        admitted: AdmissionList,
        keys: IssuerKeys,
        secrets: Sequence[Secret],
        upstream: str,
        clock: Callable[[], float] = unix_time,
    ) -> None:
        self._admitted = admitted
        self._keys = keys
        self._secrets = secrets
        self._upstream = upstream
        self._clock = clock
        self._replays = Replays(REMEMBERED)

    async def admit(self, token: str, hub: str, peer: str) -> Admitted:
        """Return the place of the job that `peer` is part of; implements `rules.admitted.Gatekeeper`.

        Raises:
            Ended: the token proves nothing, or its repository is not on the list.
        """
        meant = audience(hub, peer)
        try:
            job = await self._verified(token, meant)
            self._replays.accept(job.token_id, job.expires, self._clock())
        except UnlistedError as error:
            raise Ended(Reason.UNLISTED, detail=f"{_REFUSED}: {error}") from None
        except TokenError as error:
            trouble = f" ({self._keys.trouble})" if isinstance(error, UnknownKeyError) and self._keys.trouble else ""
            raise Ended(Reason.TOKEN, detail=f"{_REFUSED}: {error}{trouble}") from None
        place = self._place(job)
        log.info("a job of repository %s is admitted by its OIDC token", place.label)
        return place

    def rotate(self, secrets: Sequence[Secret]) -> None:
        """Derive keys from these secrets from now on."""
        self._secrets = secrets

    async def open(self) -> str:
        """Get the issuer's keys; return why there are none, a sentence, or ""."""
        await self._keys.current()
        return self._keys.trouble

    async def close(self) -> None:
        """End what is under way."""
        await self._keys.close()

    async def _verified(self, token: str, meant: str) -> JobIdentity:
        key_id(token, meant, self._admitted.issuer)  # strangers cause no requests by what cannot be accepted anyway
        try:
            return verify(token, await self._keys.current(), meant, self._admitted, self._clock())
        except UnknownKeyError:
            return verify(token, await self._keys.renewed(), meant, self._admitted, self._clock())

    def _place(self, job: JobIdentity) -> Admitted:
        trusted = self._of(job, "", job.repository, None)
        if job.trusted:
            return trusted
        event = job.context.partition(" ")[0]
        return self._of(job, job.context, f"{job.repository} ({event}, reads only)", trusted)

    def _of(self, job: JobIdentity, context: str, label: str, reads: Admitted | None) -> Admitted:
        keys = tuple(job_keys(secret.reveal(), job.owner, job.repository, context) for secret in self._secrets)
        keyring = Keyring.from_job_keys(keys, self._upstream)
        shared = frozenset(all_scopes(keyring, job_scope(job.name)))
        return Admitted(f"{job.owner} {job.repository} {context}", label, keys, keyring, shared, reads)


def job_admission(settings: Settings) -> JobAdmission:
    """Return what admits by OIDC on a hub with this list and these secrets."""
    admitted = AdmissionList(
        settings.oidc_issuer, frozenset(settings.oidc_repositories), frozenset(settings.oidc_owners)
    )
    return JobAdmission(admitted, IssuerKeys(admitted.issuer, time.monotonic), settings.secrets, settings.upstream)
