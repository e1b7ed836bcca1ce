"""The caller's scope, under which an answer is cached (docs/architecture.md#scopes)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

from p2pcache.github.tokens import PREFIX, token_in

ANONYMOUS = "anonymous"
_TOKEN = re.compile(rf"{PREFIX}[!-~]+")
_SHOWN = len("token:") + 16


def credential(headers: Mapping[str, str]) -> str | None:
    """Return the caller's credential, ``Authorization`` and ``Cookie`` as sent; None without both."""
    authorization, cookie = headers.get("authorization"), headers.get("cookie")
    if authorization is None and cookie is None:
        return None
    return f"{authorization or ''}\n{cookie or ''}"


def scope_of(headers: Mapping[str, str], job_token: str | None, repository: str | None) -> str:
    """Return ``actions:<owner>/<repo>`` for the job's own token, else ``token:<SHA-256>`` or ``anonymous``.

    Args:
        headers: of the request, lower-case names.
        job_token: the runner's ``github.token``, in a job; never a token that the user configured.
        repository: ``owner/name`` of the job, any case.
    """
    secret = credential(headers)
    if secret is None:
        return ANONYMOUS
    token = _lone_token(headers)
    if job_token and repository and token and _same(token, job_token):
        return job_scope(repository)
    # A token is one scope in every form; a credential with more than a token, or without, is hashed as a whole.
    return f"token:{hashlib.sha256(_bytes(token or secret)).hexdigest()}"


def job_scope(repository: str) -> str:
    """Return the scope of the jobs of ``owner/name``, any case."""
    return f"actions:{repository.lower()}"


def shown(scope: str) -> str:
    """Return a scope for display, with enough of a digest to distinguish tokens."""
    return scope[:_SHOWN] if scope.startswith("token:") else scope


def _lone_token(headers: Mapping[str, str]) -> str | None:
    """Return the token if it alone identifies the caller.

    It does not beside a cookie, nor as a Basic password without a token's prefix, which two users may share.
    """
    authorization = headers.get("authorization", "")
    token = token_in(authorization)
    if token is None or "cookie" in headers:
        return None
    basic = authorization.strip().lower().startswith("basic")
    return None if basic and not _TOKEN.fullmatch(token) else token


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(_bytes(a), _bytes(b))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
