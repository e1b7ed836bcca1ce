"""Who asks: tokens, what they may see, and whose budget they draw on."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from p2pcache.testing.world import Repository

LIMITS = {"installation": 1000, "user": 5000, "app": 5000, "client": 5000}
"""Requests an hour by kind of token (docs.github.com, "Rate limits for the REST API")."""


@dataclass(slots=True)
class Token:
    """A credential the stand-in knows.

    Attributes:
        value: as sent, e.g. ``ghs_1``.
        kind: ``installation`` (a job's GITHUB_TOKEN), ``user``, ``app`` (an App's JWT) or ``client`` (an OAuth app's
            secret, sent as Basic with its client id).
        login: whom `GET /user` names.
        repositories: ids of the private repositories it may read; of all repositories it may write, unless `read_only`.
        identity: whose budget it draws on: installation tokens of one repository share theirs.
    """

    value: str
    kind: str
    login: str
    identity: str
    repositories: set[int] = field(default_factory=set)
    read_only: bool = False
    revoked: bool = False

    @property
    def in_tags(self) -> bool:
        """Whether the ETags of its answers are made over it, and ``Vary`` says so."""
        return self.kind in {"installation", "user"}


@dataclass(frozen=True, slots=True)
class Viewer:
    """The caller of one request: a token, or nobody at an address."""

    token: Token | None
    address: str

    @property
    def identity(self) -> str:
        """Names the caller's budget."""
        return self.token.identity if self.token else f"ip:{self.address}"

    def may_read(self, repository: Repository) -> bool:
        """Public things are for everyone; private ones answer 404 to all who were not granted them."""
        return not repository.private or (self.token is not None and repository.id in self.token.repositories)

    def may_write(self, repository: Repository) -> bool:
        """Only what was granted, and not with a read-only token."""
        return self.token is not None and not self.token.read_only and repository.id in self.token.repositories


def credential(authorization: str) -> str:
    """The token in an `Authorization` value (``token``, ``Bearer`` or ``Basic``); "" when there is none to find."""
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return rest.strip()
    try:
        user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return password if password and password != "x-oauth-basic" else user  # noqa: S105 - GitHub's fixed word
