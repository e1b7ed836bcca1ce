"""What a job's OIDC token proves, and what is made of it. Pure: bytes, keys and the time in, a `JobIdentity` out.

A token of GitHub's issuer names its repository by ids, which no rename, transfer or new repository of the same name
can take over; `sub`, which a repository's administrator can shape, is never read. Anybody's repository gets tokens of
that issuer for any audience, so a genuine token proves nothing until its ids are on the list.

https://docs.github.com/en/actions/reference/security/oidc
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from msgspec import Meta

ALGORITHM = "RS256"
LEEWAY = 10.0
"""Seconds that the issuer's clock may differ from this node's."""
LONGEST = 3_600.0
"""Seconds of life that a token may claim; GitHub's have about five minutes. It bounds what replays are remembered."""
TRUSTED_EVENTS = frozenset({"push", "schedule", "workflow_dispatch", "repository_dispatch", "release"})
"""Events that take write access to the repository. Any other, also one that GitHub adds, is not trusted."""
DEPENDABOT = "49699333"
"""The id of dependabot[bot]: its pushes run code of the packages that it updates."""

_KEY_BITS = 2_048
_MOST_KEYS = 32
_REQUIRED = ["iss", "aud", "exp", "iat", "nbf", "jti", "repository_id", "repository_owner_id", "event_name", "ref"]
_Id = Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,19}\Z")]
_Time = Annotated[float, Meta(ge=0, le=2**40)]

Keys = Mapping[str, RSAPublicKey]
"""The issuer's keys by their id (`kid`)."""


class TokenError(ValueError):
    """A token that is not accepted. The message is a sentence for the hub's log and holds nothing of the token."""


class UnlistedError(TokenError):
    """A genuine token of a repository that is not on the list."""


class UnknownKeyError(TokenError):
    """The issuer's keys at hand do not include the one that is named."""


class IssuerError(ValueError):
    """The issuer publishes what cannot be used; the message says what."""


@dataclass(frozen=True, slots=True)
class AdmissionList:
    """Which tokens a hub accepts.

    Attributes:
        issuer: the `iss` of its tokens, without a slash at the end.
        repositories: ids, as digits.
        owners: ids of users or organisations, all of whose repositories are accepted.
    """

    issuer: str
    repositories: frozenset[str]
    owners: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.repositories or self.owners)


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """What a token proved.

    Attributes:
        repository, owner: ids, as digits.
        name: of the repository, which may come to mean another one: nothing is decided by it.
        trusted: whether the job may write where the repository's other trusted jobs read.
        context: "" for a trusted job; else event and ref: what is written from there is read there alone.
        token_id: `jti`, which no other token of the issuer has.
        expires: Unix seconds after which the token is refused for its age.
    """

    repository: str
    owner: str
    name: str
    trusted: bool
    context: str
    token_id: str
    expires: float


class _Claims(msgspec.Struct):
    """The claims that are read, as `verify` accepts them."""

    jti: Annotated[str, Meta(min_length=1, max_length=128)]
    exp: _Time
    iat: _Time
    nbf: _Time
    repository_id: _Id
    repository_owner_id: _Id
    event_name: Annotated[str, Meta(pattern=r"\A[a-z_]{1,64}\Z")]
    ref: Annotated[str, Meta(min_length=1, max_length=1_024)]
    repository: Annotated[str, Meta(max_length=256)] = ""
    actor_id: str = ""


class _Meant(msgspec.Struct):
    """The claims that are looked at before a signature is worth checking; a list of audiences is refused."""

    iss: str
    aud: str


class _Document(msgspec.Struct):
    """``/.well-known/openid-configuration``, as far as it is read (OpenID Connect Discovery 1.0)."""

    issuer: str
    jwks_uri: str


class _KeySet(msgspec.Struct):
    """A JWK Set (RFC 7517, section 5)."""

    keys: Annotated[list[dict[str, Any]], Meta(max_length=_MOST_KEYS)]


def key_id(token: str, audience: str, issuer: str) -> str:
    """Return the `kid` of a token that claims to be meant; nothing about it is proved yet.

    Raises:
        TokenError: it cannot be verified, whatever keys the issuer has.
    """
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(token, options={"verify_signature": False})
        meant = msgspec.convert(claims, _Meant)
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError, RecursionError):
        raise TokenError("it is no token of an OIDC issuer") from None
    if header.get("alg") != ALGORITHM or "crit" in header:
        raise TokenError(f"it is not signed by {ALGORITHM}")
    if meant.iss != issuer:
        raise TokenError("it is of another issuer: compare CACHE_OIDC_ISSUER with the GitHub that runs the job")
    if meant.aud != audience:
        raise TokenError("it was made for another hub or by another node")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise TokenError("it names no key")
    return kid


def verify(token: str, keys: Keys, audience: str, admitted: AdmissionList, now: float) -> JobIdentity:
    """Return what a token proves, if it is genuine, meant for `audience`, of now, and of a repository on the list.

    That it is presented for the first time is `Replays`' to check.

    Args:
        token: a JWT in compact form (RFC 7519).
        keys: the issuer's.
        audience: the only one that is accepted.
        admitted: the issuer and the list.
        now: Unix seconds.

    Raises:
        UnknownKeyError: none of the keys is the one it names.
        UnlistedError: it is genuine, but its repository is not on the list.
        TokenError: anything else.
    """
    kid = key_id(token, audience, admitted.issuer)
    key = keys.get(kid)
    if key is None:
        raise UnknownKeyError("it is signed by a key that the issuer does not publish")
    try:
        found = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=audience,
            issuer=admitted.issuer,
            # Times are checked below, against the clock that is given and that does not go back.
            options={
                "require": _REQUIRED,
                "strict_aud": True,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        claims = msgspec.convert(found, _Claims)
    except jwt.InvalidSignatureError:
        raise TokenError("its signature is not the issuer's") from None
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError):
        raise TokenError("it lacks a claim that GitHub's tokens have, or has another form") from None
    _check_times(claims, now)
    if claims.repository_id not in admitted.repositories and claims.repository_owner_id not in admitted.owners:
        raise UnlistedError(
            f"repository {claims.repository_id} of owner {claims.repository_owner_id} is not on the list: "
            "add the one to CACHE_OIDC_REPOSITORIES or the other to CACHE_OIDC_OWNERS"
        )
    trusted = claims.event_name in TRUSTED_EVENTS and claims.actor_id not in ("", DEPENDABOT)
    return JobIdentity(
        repository=claims.repository_id,
        owner=claims.repository_owner_id,
        name=claims.repository,
        trusted=trusted,
        context="" if trusted else f"{claims.event_name} {claims.ref}",
        token_id=claims.jti,
        expires=claims.exp + LEEWAY,
    )


def _check_times(claims: _Claims, now: float) -> None:
    if claims.exp + LEEWAY <= now:
        raise TokenError("it has expired: the clocks of this host and of the issuer may differ")
    if max(claims.nbf, claims.iat) - LEEWAY > now:
        raise TokenError("it is not valid yet: the clocks of this host and of the issuer may differ")
    if claims.exp - claims.iat > LONGEST:
        raise TokenError("it is valid for longer than GitHub's tokens are")


class Replays:
    """The tokens that were accepted, each of which is accepted once.

    Args:
        most: tokens that are remembered; while as many are still valid, none is accepted.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._expiry: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._expiry)

    def accept(self, token_id: str, expires: float, now: float) -> None:
        """Note that a verified token is used now.

        Raises:
            TokenError: it was used before, or too many others were.
        """
        if self._expiry.get(token_id, 0.0) > now:
            raise TokenError("it was presented before")
        if len(self._expiry) >= self._most:
            self._expiry = {each: until for each, until in self._expiry.items() if until > now}
            if len(self._expiry) >= self._most:
                raise TokenError("too many others are in use")
        self._expiry[token_id] = expires


def configuration_url(issuer: str) -> str:
    """Return where an issuer describes itself."""
    return f"{issuer}/.well-known/openid-configuration"


def keys_url(issuer: str, document: bytes) -> str:
    """Return where the issuer's keys are, which is on its own host.

    Raises:
        IssuerError: the document is another's, or leads elsewhere.
    """
    try:
        found = msgspec.json.decode(document, type=_Document)
        named, own = urlsplit(found.jwks_uri), urlsplit(issuer)
        port = named.port
    except (msgspec.DecodeError, ValueError):
        raise IssuerError("its openid-configuration cannot be read") from None
    if found.issuer != issuer:
        raise IssuerError("its openid-configuration is of another issuer")
    plain = "@" not in named.netloc and not named.query and not named.fragment
    if named.scheme != "https" or (named.hostname, port or 443) != (own.hostname, own.port or 443) or not plain:
        raise IssuerError("its openid-configuration leads to keys on another host")
    return found.jwks_uri


def key_set(document: bytes) -> Keys:
    """Return the keys of a JWK Set that may sign tokens, by their ids. Others are passed over.

    Raises:
        IssuerError: it is no JWK Set, or has no such key.
    """
    try:
        found = msgspec.json.decode(document, type=_KeySet).keys
    except msgspec.DecodeError:
        raise IssuerError("its keys cannot be read") from None
    keys = {str(each["kid"]): key for each in found if (key := _signing_key(each)) is not None}
    if not keys:
        raise IssuerError(f"it publishes no key for {ALGORITHM}")
    return keys


def _signing_key(each: Mapping[str, Any]) -> RSAPublicKey | None:
    usable = each.get("kty") == "RSA" and each.get("use", "sig") == "sig" and each.get("alg", ALGORITHM) == ALGORITHM
    if not usable or not isinstance(each.get("kid"), str) or not each["kid"]:
        return None
    try:
        key = jwt.PyJWK(dict(each), algorithm=ALGORITHM).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return key if isinstance(key, RSAPublicKey) and key.key_size >= _KEY_BITS else None
