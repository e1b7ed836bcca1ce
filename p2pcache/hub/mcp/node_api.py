"""What tools and resources ask: GitHub's API through a node, and the node's own endpoints, for one caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from p2pcache.gateway.caller_limits import ASK_RULE
from p2pcache.gateway.routing import Upstreams
from p2pcache.github.hosts import API_HOST

MAX_ANSWER = 16 << 20
"""Bytes of an answer that are held to take what is wanted from it."""
ACCEPT = "application/vnd.github+json"
"""What gh and ``p2pcache get`` ask for: the media type is a part of the key, so their entries are shared."""
FIELDS: Mapping[str, str] = {"accept": ACCEPT, "user-agent": "p2pcache-mcp", ASK_RULE: "1"}
"""Header fields of each request; the last asks the node for the lifetime of what it fetched."""


class ApiError(Exception):
    """No answer can be had; the message is one sentence for the caller."""


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An answer; `headers` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NodeApi(Protocol):
    """A node, as one caller may use it."""

    @property
    def authorised(self) -> bool:
        """Whether requests to GitHub carry a credential, which makes a 304 free of charge."""

    async def github(self, target: str, body: bytes | None = None) -> ApiAnswer:
        """GET `target` (path and query) of GitHub's API, or POST `body`, which is JSON, to it.

        Raises:
            ApiError: the node does not answer, or with more than `MAX_ANSWER` bytes.
        """

    async def control(self, target: str, body: bytes | None = None) -> ApiAnswer:
        """Ask a control endpoint of the node.

        Raises:
            ApiError: as `github`.
        """


def upstream_address(upstreams: Upstreams) -> tuple[str, str]:
    """Return the Host under which a gateway serves its upstream's API unchanged, and what stands before each path."""
    if not upstreams.enterprise:
        return API_HOST, ""
    return upstreams.host, urlsplit(upstreams.api).path


def too_large() -> ApiError:
    """Return the error for an answer beyond `MAX_ANSWER`."""
    return ApiError(f"the answer is larger than {MAX_ANSWER >> 20} MiB: ask for less, e.g. with per_page")
