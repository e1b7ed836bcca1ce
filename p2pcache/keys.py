"""Which secret a node's keys come from, why it works alone without one, and how its callers are told apart."""

from __future__ import annotations

import contextlib
import logging
import shlex
from typing import NamedTuple

import msgspec

from p2pcache import files, values
from p2pcache.cache.sealing import JobKeys, Keyring, generate_secret
from p2pcache.cache.wanted import ScopePolicy
from p2pcache.github.tokens import LONG_LIVED, token_kind
from p2pcache.settings import Settings, SettingsError, Share
from p2pcache.values import Secret

log = logging.getLogger("p2pcache")

TOKEN_HINT = "where gh is logged in: export GITHUB_TOKEN=$(gh auth token)"  # noqa: S105 - a sentence, no secret


class Enrolled(NamedTuple):
    """What a hub gave this job for its OIDC token: keys, or a problem, a sentence; neither where none was asked."""

    keys: tuple[JobKeys, ...] = ()
    problem: str = ""


NOT_ASKED = Enrolled()


def keyring_of(settings: Settings, enrolled: Enrolled = NOT_ASKED) -> tuple[Keyring, str]:
    """Return the keys, and why the node works alone ("" when it does not).

    Args:
        settings: all that the user chose.
        enrolled: what a hub gave this job for its OIDC token, if it was asked.

    Raises:
        SettingsError: a secret is weak; or what is meant to be a hub would work alone, or admit jobs without a secret.
    """
    if enrolled.keys:
        return Keyring.from_job_keys(enrolled.keys, settings.upstream), ""
    keyring, alone = _keyring_of(settings)
    if settings.hub and alone:
        raise SettingsError(f"--hub: {alone}, and a hub is there for the swarm: change one of the two")
    if _has_list(settings):
        if not settings.hub:
            raise SettingsError("CACHE_OIDC_REPOSITORIES, CACHE_OIDC_OWNERS: a hub alone admits jobs: add --hub")
        if not settings.secrets:
            raise SettingsError("CACHE_OIDC_REPOSITORIES, CACHE_OIDC_OWNERS: jobs' keys come from CACHE_SECRET: set it")
    return keyring, enrolled.problem or alone


def asks_for_keys(settings: Settings) -> bool:
    """Return whether this node asks its hub for keys by OIDC: without a secret, in a job with ``id-token: write``."""
    possible = settings.id_token_url and settings.id_token_key and settings.bootstrap and not settings.hub
    return bool(possible) and not settings.secrets and not _stands_in(settings) and not _alone(settings, "")


def with_secret(settings: Settings) -> tuple[Settings, str]:
    """Return a hub's settings with a secret, made in its directory where none was given; and how to hand it out.

    Raises:
        SettingsError: the file can be neither read nor written, or is empty.
    """
    path = settings.directory / "secret"
    if not settings.hub or not settings.p2p or settings.secrets:
        return settings, ""
    if not path.exists() and _stands_in(settings):
        return (
            settings,
            "this hub's secret is its token, which jobs do not have: for those, set CACHE_SECRET",
        )
    try:
        if not path.exists():
            files.create(path, f"{generate_secret()}\n".encode())
        secrets = values.secrets(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SettingsError(f"{path}: this hub's secret cannot be kept there ({reason}): set CACHE_SECRET") from None
    if not secrets:
        raise SettingsError(f"{path}: it is empty: remove it, and a new secret is made")
    hand_out = f"gh secret set CACHE_SECRET <{shlex.quote(str(path))}"
    hint = f"this hub's secret is in {path}; hand it to the jobs with: {hand_out}"
    if _has_list(settings):
        hint = f"this hub's secret is in {path}; the keys of all admitted jobs come from it: give it to no job"
    return msgspec.structs.replace(settings, secrets=secrets, secret_file=path), hint


def reread(settings: Settings, keyring: Keyring) -> tuple[Secret, ...]:
    """Read the file of the secret again, where there is one, and change `keyring`; return the secrets if that was done.

    A file that cannot be used is logged, and the keys stay what they are.
    """
    if settings.secret_file is None:
        return ()
    try:
        secrets = values.secrets_in(settings.secret_file)
        keyring.replace(Keyring.from_secrets([secret.reveal() for secret in secrets], settings.upstream))
    except ValueError as error:
        log.warning("%s: %s; the former secret stays in use", settings.secret_file, error)
        return ()
    log.info("the secret was read again from %s: %d accepted, the first seals", settings.secret_file, len(set(secrets)))
    return secrets


def _keyring_of(settings: Settings) -> tuple[Keyring, str]:
    if settings.secrets:
        try:
            keyring = Keyring.from_secrets([secret.reveal() for secret in settings.secrets], settings.upstream)
        except ValueError as error:
            raise SettingsError(f"CACHE_SECRET: {error}") from None
        return keyring, _alone(settings, "")
    if settings.token and _stands_in(settings):
        # One that is too weak to be a secret is no reason to refuse its owner a cache.
        with contextlib.suppress(ValueError):
            return Keyring.from_secrets([settings.token.reveal()], settings.upstream), _alone(settings, "")
    if not settings.token:
        reason = (
            "no CACHE_SECRET, and no GITHUB_TOKEN to stand in for one: this node works alone, and what it stores "
            f"cannot be read by the next; {TOKEN_HINT}"
        )
        return Keyring.ephemeral(), _alone(settings, reason)
    reason = (
        "no CACHE_SECRET, and a job's own token cannot stand in for one: this node works alone, and what it stores "
        "cannot be read by the next; make a secret with: p2pcache keygen | gh secret set CACHE_SECRET"
    )
    return Keyring.ephemeral(), _alone(settings, reason)


def identity_of(settings: Settings) -> ScopePolicy:
    """Return how callers are told apart: a repository's jobs are one scope by the runner's own token alone.

    Under act, and wherever a personal token takes its place, `github.token` is the user's and may read all that the
    user may: such a job is a token like any other.
    """
    token = settings.job_token.reveal() if settings.job_token and settings.in_actions else None
    if token is not None and token_kind(token) in LONG_LIVED:
        token = None
    return ScopePolicy(token, settings.repository or None, per_credential=settings.share is Share.VERIFIED)


def _has_list(settings: Settings) -> bool:
    return bool(settings.oidc_repositories or settings.oidc_owners)


def _stands_in(settings: Settings) -> bool:
    return settings.token is not None and token_kind(settings.token.reveal()) in LONG_LIVED


def _alone(settings: Settings, reason: str) -> str:
    if not settings.p2p:
        return "peer to peer is off (--no-p2p or CACHE_ENABLE_P2P)"
    if settings.share is Share.OFF:
        return "sharing is off (--share or CACHE_SHARE)"
    if "p2p" not in settings.backends:
        return "peers are not among the backends (--backends or CACHE_BACKENDS)"
    return reason
