"""An OIDC issuer for tests: RS256 keys made here, the tokens of jobs, and the documents that it publishes."""

from __future__ import annotations

import functools
import json
import secrets
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://token.actions.githubusercontent.com"


def key(name: str = "one", bits: int = 2048) -> rsa.RSAPrivateKey:
    """One key for each name, made once: that takes a while."""
    return _key(name, bits)


@functools.cache
def _key(name: str, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def jwk(name: str = "one", bits: int = 2048, **changes: object) -> dict[str, object]:
    """The public part of a key, as an issuer publishes it under its name."""
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key(name, bits).public_key()))
    return {**public, "kid": name, "use": "sig", "alg": "RS256", **changes}


def key_document(*names: str) -> bytes:
    return json.dumps({"keys": [jwk(name) for name in names]}).encode()


def configuration(issuer: str = ISSUER, **changes: object) -> bytes:
    return json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/.well-known/jwks", **changes}).encode()


def claims(audience: object, issuer: str = ISSUER, now: float | None = None, **changes: object) -> dict[str, Any]:
    """Of a push to octo/app; a change to None leaves a claim out."""
    at = int(time.time() if now is None else now)
    usual = {
        "iss": issuer,
        "aud": audience,
        "exp": at + 300,
        "nbf": at - 5,
        "iat": at,
        "jti": secrets.token_hex(16),
        "sub": "repo:octo/app:ref:refs/heads/main",
        "repository": "octo/app",
        "repository_id": "1001",
        "repository_owner": "octo",
        "repository_owner_id": "77",
        "event_name": "push",
        "ref": "refs/heads/main",
        "actor_id": "5",
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def token(
    audience: object,
    *,
    signed_by: str = "one",
    algorithm: str = "RS256",
    header: Mapping[str, object] = MappingProxyType({}),
    **changes: Any,
) -> str:
    """A job's token; `header` changes its header, other arguments its claims."""
    sent = {name: value for name, value in {"kid": signed_by, **header}.items() if value is not None}
    payload = json.dumps(claims(audience, **changes)).encode()
    return jwt.PyJWS().encode(payload, key(signed_by), algorithm=algorithm, headers=sent)
