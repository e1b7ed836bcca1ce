"""A read with all that is derived from it: its names under the swarm's keys, its scope and its quota."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

from p2pcache.cache.entry import Block
from p2pcache.cache.sealing import Keyring
from p2pcache.github import etag, scopes
from p2pcache.github.headers import oldest
from p2pcache.github.request import REPRESENTATIONS, Read, Request


@dataclass(frozen=True, slots=True)
class ScopePolicy:
    """How the node derives a caller's scope."""

    job_token: str | None
    repository: str | None
    per_credential: bool
    """`share: verified`: even jobs of one repository prove for themselves, so each credential is a scope."""


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """A read and the caller's identity, named under the swarm's keys.

    Attributes:
        read: the classification.
        request: as the client sent it.
        name: keyed digest of the resource.
        scope: keyed digest of what its entries are kept under: the scope, and the representation that is asked for.
        topics: keyed digests of the read's topics.
        bucket: the scope in the clear that is charged (never at rest, shown in the ledger).
        credential: digest of the credential: it distinguishes tokens of one scope within this process.
        quota: GitHub's rate limit resource that the read is charged to, by its path.
        authorised: a credential was sent, so a 304 is free of charge.
        holder: the scope in the clear that its entries are kept under, in whatever representation.
        older: names of the resource under secrets that are being rotated out.
        oldest: seconds since GitHub last vouched for an answer, beyond which the caller does not take it.
    """

    read: Read
    request: Request
    name: bytes
    scope: bytes
    topics: tuple[bytes, ...]
    bucket: str
    credential: bytes
    quota: str
    authorised: bool
    holder: str
    older: tuple[bytes, ...] = ()
    oldest: float = math.inf

    def tags(self, block: Block, vary: etag.Vary | None, empty_accept: bool | None) -> tuple[str, ...]:
        """Return the ETags that GitHub may give `block` for this caller, see `etag.tags`."""
        if self.read.tag is not etag.TagKind.HASH:
            return ()
        content_type = next((value for name, value in block.headers if name == "content-type"), "")
        return etag.tags(self.request.headers, vary, content_type, block.body, empty_accept=empty_accept)


def another(keyring: Keyring, wanted: Wanted, target: str) -> Wanted:
    """Return `wanted` with another path and query of the same operation."""
    path, _, query = target.partition("?")
    read = replace(wanted.read, resource=replace(wanted.read.resource, path=path, query=query))
    name, *older = keyring.resource_names(read.canonical())
    request = replace(wanted.request, target=target)
    return replace(wanted, read=read, request=request, name=name, older=tuple(older))


def _under(scope: str, representation: str) -> str:
    """Return what entries are kept under.

    Another representation of a scope is as another scope: what that has is a candidate, and becomes the own one by a
    304, which is free of charge.
    """
    return f"{scope} {representation}" if representation else scope


def all_scopes(keyring: Keyring, holder: str) -> tuple[bytes, ...]:
    """Return the names under which a scope has entries, one for each representation."""
    return tuple(keyring.scope_name(_under(holder, representation)) for representation in ("", *REPRESENTATIONS))


def want(keyring: Keyring, identity: ScopePolicy, read: Read, request: Request) -> Wanted:
    """Name the resource and the scope of a request under the swarm's keys."""
    credential = scopes.credential(request.headers)
    bucket = scopes.scope_of(request.headers, identity.job_token, identity.repository)
    digest = hashlib.sha256((credential or "").encode()).digest()
    for_itself = credential and (identity.per_credential or read.per_token)
    scope = f"credential:{digest.hex()}" if for_itself else bucket
    name, *older = keyring.resource_names(read.canonical())
    return Wanted(
        read=read,
        request=request,
        name=name,
        scope=keyring.scope_name(_under(scope, read.representation)),
        holder=scope,
        topics=keyring.topic_names(read.topics),
        bucket=f"raw {bucket}" if request.raw else bucket,  # a server with limits of its own
        credential=digest,
        quota=quota_resource(read.resource.path),
        authorised=credential is not None,
        older=tuple(older),
        oldest=oldest(request.headers),
    )


def quota_resource(path: str) -> str:
    """Return the rate limit resource of a path (docs.github.com: REST API endpoints for rate limits)."""
    if path == "/graphql":
        return "graphql"
    if path == "/search/code":
        return "code_search"
    return "search" if path.startswith("/search/") else "core"
