"""A request to GitHub's API, and the results of its classification."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from p2pcache.github.etag import TagKind


class Lifetime(enum.StrEnum):
    """The lifetime class of an answer; `lifetimes` has the seconds."""

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
        target: origin-form path and query, exactly as sent, without a gateway layout prefix (``/api/v3``).
        headers: lower-case names; the values of a repeated header are joined by ", ".
        body: the complete body of a GraphQL POST, empty for all other requests.
        raw: whether it is to GitHub's server of raw files, and not to the API.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """The content of a request without its credential: equal resources have equal answers for one caller.

    `path`, `query`, `accept` and `api_version` are exactly as sent, since GitHub's answer may depend on each;
    `digest` is that of a GraphQL document with its variables, empty for REST; `fields` are other request fields that
    affect the answer (see `headers.varying`), sorted by name.
    """

    path: str
    query: str = ""
    accept: str | None = None
    api_version: str | None = None
    digest: str = ""
    fields: tuple[tuple[str, str], ...] = ()

    def canonical(self) -> bytes:
        """Return an injective encoding, from which names are derived."""
        fields = (part for field in self.fields for part in field)
        parts = (self.path, self.query, self.accept, self.api_version, self.digest, *fields)
        return b"".join(b"-" if p is None else b"%d:%s" % (len(e := p.encode()), e) for p in parts)


_JSON_TYPES = (None, "", "*/*", "application/json", "application/vnd.github+json", "application/vnd.github.v3+json")
_VERSIONS = (None, "2022-11-28")
"""Ways of asking for JSON, and for the version that is the default (docs.github.com, "API Versions"): curl's, gh's,
PyGithub's, Octokit's. They are likely to have equal answers, which a 304 proves each time."""
REPRESENTATIONS = tuple(f"{accept}|{version}" for accept in _JSON_TYPES for version in _VERSIONS)


@dataclass(frozen=True, slots=True)
class Read:
    """A cacheable read.

    Attributes:
        resource: the requested resource.
        lifetime: its class; never `Lifetime.NEVER`.
        route: the operation, e.g. ``GET /repos/{owner}/{repo}/issues``, for statistics; contains no values.
        topics: clear names by which writes invalidate the entry (see `writes`).
        listing: whether the answer is a JSON array, so that the tag of ``[]`` may be tried on a miss.
        tag: the rule behind the answer's ETag.
        form: the form of the answer, see `media.form`.
        dated: whether ``Last-Modified`` alone proves that nothing changed.
        per_token: whether the answer depends on the token's permissions, so that it is fresh for no other token.
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
        """The unit of `trial.RuleTrial`: the operation and the form of its answer."""
        return f"{self.route} {self.form}"

    @property
    def representation(self) -> str:
        """Which of `REPRESENTATIONS` is asked for; empty where the answer has no equals under another."""
        if self.resource.digest or self.tag is not TagKind.HASH:
            return ""
        if self.resource.accept not in _JSON_TYPES or self.resource.api_version not in _VERSIONS:
            return ""
        return f"{self.resource.accept}|{self.resource.api_version}"

    def canonical(self) -> bytes:
        """Return an injective encoding of what may have equal answers, from which names are derived."""
        resource = self.resource
        return (replace(resource, accept=None, api_version=None) if self.representation else resource).canonical()


@dataclass(frozen=True, slots=True)
class Write:
    """A request that may change GitHub's answers: it is streamed through, then the topics `drops` are invalidated."""

    route: str
    drops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bypass:
    """A request that is streamed through without the cache; `reason` is one of a few fixed words."""

    route: str
    reason: str


Classified = Read | Write | Bypass
