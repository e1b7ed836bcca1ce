"""Which secret a node's keys come from, why it works alone when there is none to share, and who its callers are."""

from __future__ import annotations

import contextlib

from p2pcache.cache.sealing import Keyring
from p2pcache.cache.wanted import Identity
from p2pcache.github.scopes import token_kind
from p2pcache.settings import Settings, SettingsError, Share

LONG_LIVED = ("personal", "oauth", "app_user")
"""Kinds of token that last long enough to be a shared secret; a job's installation token dies with the job."""
TOKEN_HINT = "where gh is logged in: export GITHUB_TOKEN=$(gh auth token)"  # noqa: S105 - a sentence, no secret


def keyring_of(settings: Settings) -> tuple[Keyring, str]:
    """The keys, and why the node works alone ("" when it does not) (DESIGN section 5).

    Raises:
        SettingsError: a secret is weak.
    """
    if settings.secrets:
        try:
            keyring = Keyring.from_secrets([secret.reveal() for secret in settings.secrets], settings.upstream)
        except ValueError as error:
            raise SettingsError(f"CACHE_SECRET: {error}") from None
        return keyring, _alone(settings, "")
    token = settings.token.reveal() if settings.token else ""
    if token and token_kind(token) in LONG_LIVED:
        # One that is too weak to be a secret is no reason to refuse its owner a cache.
        with contextlib.suppress(ValueError):
            return Keyring.from_secrets([token], settings.upstream), _alone(settings, "")
    if not token:
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


def identity_of(settings: Settings) -> Identity:
    """How callers are told apart: a repository's jobs are one scope by the runner's own token alone.

    Under act, and wherever a personal token takes its place, `github.token` is the user's and may read all that the
    user may: such a job is a token like any other.
    """
    token = settings.job_token.reveal() if settings.job_token and settings.in_actions else None
    if token is not None and token_kind(token) in LONG_LIVED:
        token = None
    return Identity(token, settings.repository or None, per_credential=settings.share is Share.VERIFIED)


def _alone(settings: Settings, reason: str) -> str:
    if not settings.p2p:
        return "peer to peer is off (--no-p2p or CACHE_ENABLE_P2P)"
    if settings.share is Share.OFF:
        return "sharing is off (--share or CACHE_SHARE)"
    if "p2p" not in settings.backends:
        return "peers are not among the backends (--backends or CACHE_BACKENDS)"
    return reason
