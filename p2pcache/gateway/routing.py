"""Where a request goes, from its Host and its path alone (docs/interface.md#the-gateway)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from p2pcache.github import hosts

RESERVED_NAME = "github.p2pcache.internal"
"""A name for clients that take no port, or that read a meaning out of GitHub's own; it needs no DNS behind a proxy."""
LOCAL_NAMES = frozenset({"localhost", "host.docker.internal", "gateway.docker.internal", RESERVED_NAME})
CONTROL_PREFIX = "/-/"
LAYOUT = "/api/v3"
GRAPHQL_LAYOUT = "/api/graphql"
UPLOADS_LAYOUT = "/api/uploads"
RAW_LAYOUT = "/raw"
UPLOADS_HOST = "uploads.github.com"
RAW_HOST = "raw.githubusercontent.com"
TENANTS = ".ghe.com"
"""GitHub Enterprise Cloud with data residency: ``api.TENANT.ghe.com`` (docs.github.com, "Using the REST API")."""
HTTPS_PORT = "443"


@dataclass(frozen=True, slots=True)
class Upstreams:
    """The addresses behind the gateway.

    GitHub Enterprise Server has one host with layouts (docs.github.com, "Using the REST API" of GHES); github.com has
    a host for each.
    """

    api: str

    @property
    def host(self) -> str:
        """The API's host, as clients name it."""
        return (urlsplit(self.api).hostname or "").lower()

    @property
    def enterprise(self) -> bool:
        """Whether this is another GitHub than github.com, or than what stands in for that."""
        return self.api.endswith(LAYOUT) or self.host.endswith(TENANTS)

    @property
    def graphql(self) -> str:
        """Where GraphQL is: beside ``/api/v3`` on GHES, below the root elsewhere."""
        if self.api.endswith(LAYOUT):
            return self.api.removesuffix(LAYOUT) + GRAPHQL_LAYOUT
        return f"{self.api}/graphql"

    @property
    def uploads(self) -> str:
        """Where release assets are uploaded."""
        if self.api.endswith(LAYOUT):
            return self.api.removesuffix(LAYOUT) + UPLOADS_LAYOUT
        if self.host == hosts.API_HOST:
            return f"https://{UPLOADS_HOST}"
        if self.host.startswith("api.") and self.host.endswith(TENANTS):
            return f"https://uploads.{self.host.removeprefix('api.')}"
        return self.api

    @property
    def raw(self) -> str:
        """Where files are served as they are, to the token that may read their repository."""
        if self.api.endswith(LAYOUT):
            return self.api.removesuffix(LAYOUT) + RAW_LAYOUT
        if self.host == hosts.API_HOST:
            return f"https://{RAW_HOST}"
        if self.host.startswith("api.") and self.host.endswith(TENANTS):
            return f"https://raw.{self.host.removeprefix('api.')}"
        return self.api + RAW_LAYOUT

    @property
    def bases(self) -> tuple[str, ...]:
        """API URLs that answers may carry and that mean this upstream."""
        if self.enterprise:
            return (self.api,)
        return tuple(dict.fromkeys((self.api, f"https://{hosts.API_HOST}")))


@dataclass(frozen=True, slots=True)
class Api:
    """A request to the API. `base` is where the client thinks the API is, when that is the gateway, else empty."""

    target: str
    base: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """A request to be passed through to `url`; `target` is what it is about in terms of the API, or empty."""

    url: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class RawFile:
    """A request for a file as it is: ``/OWNER/REPO/REF/PATH``."""

    target: str


@dataclass(frozen=True, slots=True)
class Control:
    """A request to the node itself; `path` without the prefix."""

    path: str


@dataclass(frozen=True, slots=True)
class Misdirected:
    """A Host this gateway does not speak for (RFC 9110 section 15.5.20)."""


Destination = Api | Stream | RawFile | Control | Misdirected


class Router:
    """Knows the gateway's own names and GitHub's.

    Any IP literal counts as an own name: in a container it is not known beforehand under which of the host's addresses
    and forwarded ports a client reaches the node. A DNS name does not, unless it is one of `own_names`: that keeps a
    web page from pointing its own name at 127.0.0.1 and reading through the node (DNS rebinding).

    A server that is not known here is reached for this user alone, over TLS at its usual port: gh sends all its
    requests to the node's socket, also those for another GitHub. For other callers the gateway leads nowhere else.
    """

    def __init__(self, upstreams: Upstreams, own_names: frozenset[str]) -> None:
        self._upstreams = upstreams
        self._own = own_names | LOCAL_NAMES
        uploads = urlsplit(upstreams.uploads).hostname or ""
        self._uploads = {uploads} if upstreams.enterprise else {uploads, UPLOADS_HOST}

    def route(
        self, host: str, target: str, own_user: Callable[[], bool] = lambda: False, scheme: str = "http"
    ) -> Destination:
        """Choose the destination of a request for `target` (origin-form) that names `host` (with or without port).

        `own_user` returns whether this node's user asks; it is called where that matters. `scheme` is the client's.
        """
        name = split_port(host)
        if name == hosts.API_HOST and not self._upstreams.enterprise:
            return Api(target)
        if name in self._own or _is_address(name):
            if target.startswith(CONTROL_PREFIX):
                return Control(target.removeprefix(CONTROL_PREFIX))
            return self._layout(target, f"{scheme}://{host}")
        if name == self._upstreams.host:
            return self._upstream_host(target)
        if name in self._uploads:
            return Stream(f"https://{name}{target}", target)
        if hosts.kind(name) is not None or (_another(host) and own_user()):
            return Stream(f"https://{name}{target}")
        return Misdirected()

    def _upstream_host(self, target: str) -> Destination:
        """GHES by its own name, which serves its web pages and its login beside the API."""
        api = self._upstreams.api
        if not api.endswith(LAYOUT) or target.startswith("/api/"):
            return self._layout(target, "")
        return Stream(api.removesuffix(LAYOUT) + target)

    def _layout(self, target: str, base: str) -> Destination:
        path = target.partition("?")[0]
        if path == GRAPHQL_LAYOUT:
            return Api(target.replace(GRAPHQL_LAYOUT, "/graphql", 1), base and base + LAYOUT)
        if path == LAYOUT or path.startswith(LAYOUT + "/"):
            rest = target.removeprefix(LAYOUT)
            return Api(rest if rest.startswith("/") else f"/{rest}", base and base + LAYOUT)
        if path.startswith(UPLOADS_LAYOUT + "/"):
            rest = target.removeprefix(UPLOADS_LAYOUT)
            return Stream(self._upstreams.uploads + rest, rest)
        if base and path.startswith(RAW_LAYOUT + "/"):
            return RawFile(target.removeprefix(RAW_LAYOUT))
        return Api(target, base)


def split_port(host: str) -> str:
    """Return the name in a Host value, lower case, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _another(host: str) -> bool:
    """Return whether a Host value names a server that HTTPS can be spoken to, at HTTPS's own port."""
    name, _, port = host.partition(":")
    return hosts.names_a_server(name) and port in ("", HTTPS_PORT)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
