"""Callers: tokens, their permissions, and their rate-limit budgets."""

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
        login: the user of `GET /user`.
        repositories: ids of the private repositories it may read, and of all it may write unless `read_only`.
        identity: names its budget; installation tokens of one repository share one.
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
        """Whether the ETags of its answers cover it, and ``Vary`` names ``Authorization``."""
        return self.kind in {"installation", "user"}


@dataclass(frozen=True, slots=True)
class Viewer:
    """The caller of one request: a token, or an anonymous address."""

    token: Token | None
    address: str

    @property
    def identity(self) -> str:
        """The name of the caller's budget."""
        return self.token.identity if self.token else f"ip:{self.address}"

    def may_read(self, repository: Repository) -> bool:
        """Return whether a repository is public or granted; others answer 404."""
        return not repository.private or (self.token is not None and repository.id in self.token.repositories)

    def may_write(self, repository: Repository) -> bool:
        """Return whether a repository is granted to a token that is not read-only."""
        return self.token is not None and not self.token.read_only and repository.id in self.token.repositories


def credential(authorization: str) -> str:
    """Return the token in an `Authorization` value (``token``, ``Bearer`` or ``Basic``), or ""."""
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return rest.strip()
    try:
        user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return password if password and password != "x-oauth-basic" else user  # noqa: S105 - GitHub's fixed word
