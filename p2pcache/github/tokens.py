"""Tokens of GitHub: what a prefix means, and where a request carries one."""

from __future__ import annotations

import base64
import binascii
from typing import Literal

TokenKind = Literal["personal", "oauth", "app_user", "installation", "unknown"]

# Source: github.blog, "Behind GitHub's new authentication token formats".
_KINDS: tuple[tuple[str, TokenKind], ...] = (
    ("ghp_", "personal"),
    ("github_pat_", "personal"),
    ("gho_", "oauth"),
    ("ghu_", "app_user"),
    ("ghs_", "installation"),
)
PREFIX = r"(?:gh[a-z]|github_pat)_"
"""A pattern for the beginning of every token, of kinds still to come too."""
LONG_LIVED = frozenset({"personal", "oauth", "app_user"})
"""Kinds that last long enough to be a shared secret; a job's installation token dies with the job."""


def token_kind(token: str) -> TokenKind:
    """Return the kind that a token's prefix names."""
    return next((kind for prefix, kind in _KINDS if token.startswith(prefix)), "unknown")


def token_in(authorization: str) -> str | None:
    """Return the token of ``token X``, ``Bearer X``, or Basic credentials with X as password or as user alone."""
    scheme, _, rest = authorization.strip().partition(" ")
    match scheme.lower():
        case "token" | "bearer":
            return rest.strip() or None
        case "basic":
            user, password = basic_pair(rest)
            # "x-oauth-basic" is the literal of GitHub's form with the token as user name.
            return (user if password in ("", "x-oauth-basic") else password) or None
        case _:
            return None


def basic_pair(encoded: str) -> tuple[str, str]:
    """Return user and password of Basic credentials (RFC 7617), both empty where they cannot be decoded."""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password
