"""The request as the rules see it, and what classification says of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from p2pcache.github.etag import TagKind


class Lifetime(enum.StrEnum):
    """How long an answer may be served without asking GitHub again; seconds per class are in `lifetimes`."""

    IMMUTABLE = "immutable"  # addressed by a full SHA
    SLOW = "slow"
    NORMAL = "normal"
    LIVE = "live"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to GitHub's API.

    Attributes:
        method: as sent, upper case.
        target: origin-form path and query, exactly as sent, already without a gateway layout prefix (``/api/v3``).
        headers: lower-case names; of a repeated header, the values joined by ", ".
        body: the complete body of a GraphQL POST; empty for everything else.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Resource:
    """What is asked, whoever asks: two requests with equal resources want the same answer of GitHub.

    `path`, `query`, `accept` and `api_version` are exactly as sent, since GitHub's answer may depend on each;
    `digest` is that of a GraphQL document with its variables, empty for REST; `fields` are other request fields that
    GitHub heeds (see `headers.varying`), by name.
    """

    path: str
    query: str = ""
    accept: str | None = None
    api_version: str | None = None
    digest: str = ""
    fields: tuple[tuple[str, str], ...] = ()

    def canonical(self) -> bytes:
        """An injective encoding, for naming: equal bytes exactly for equal resources."""
        fields = (part for field in self.fields for part in field)
        parts = (self.path, self.query, self.accept, self.api_version, self.digest, *fields)
        return b"".join(b"-" if p is None else b"%d:%s" % (len(e := p.encode()), e) for p in parts)


@dataclass(frozen=True, slots=True)
class Read:
    """A cacheable read.

    Attributes:
        resource: what is asked.
        lifetime: its class; never `Lifetime.NEVER`.
        route: the operation for people, e.g. ``GET /repos/{owner}/{repo}/issues``; never holds a value.
        topics: clear names by which a write finds this entry again (see `writes`).
        listing: a JSON array of items is expected, so the tag of ``[]`` may be tried on a miss.
        tag: what the answer's ETag is made of.
        form: the form of the answer that is asked for, see `media.form`.
        dated: ``Last-Modified`` alone says that nothing changed.
        per_token: what a token gets depends on its permissions, so no other token's answer is ever fresh for it.
    """

    resource: Resource
    lifetime: Lifetime
    route: str
    topics: tuple[str, ...]
    listing: bool = False
    tag: TagKind = TagKind.HASH
    form: str = "json"
    dated: bool = False
    per_token: bool = False

    @property
    def shape(self) -> str:
        """What the ETag rule is tried by: the operation and the form of its answer."""
        return f"{self.route} {self.form}"


@dataclass(frozen=True, slots=True)
class Write:
    """A request that may change what GitHub answers: streamed through, then `drops` are invalidated."""

    route: str
    drops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bypass:
    """A request the cache has nothing to do with: streamed through. `reason` is one of a few fixed words."""

    route: str
    reason: str


Classified = Read | Write | Bypass
