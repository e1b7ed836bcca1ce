"""The interface through which the cache asks GitHub; the gateway's HTTP client implements it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from p2pcache.github.request import Request


class UpstreamError(Exception):
    """GitHub could not be reached, or broke off: one sentence that may be shown, without any secret."""


class Response(Protocol):
    """An answer whose body has not been read yet."""

    status: int
    headers: Mapping[str, str]
    """Lower-case names; repeated ones joined by ", " (RFC 9110 section 5.3)."""
    pairs: list[tuple[str, str]]
    """The header lines as received, in order."""

    async def read(self, limit: int) -> bytes | None:
        """Return the body without content coding, or None when it has more than `limit` bytes (then `stream` it).

        Raises:
            UpstreamError: it broke off, or did not arrive in time.
        """
        ...

    def stream(self) -> AsyncIterator[bytes]:
        """Iterate over the body without content coding, in pieces, from its beginning."""
        ...

    async def close(self) -> None:
        """Return the connection to its pool; a body that was not read is abandoned."""
        ...


class Upstream(Protocol):
    """Asks GitHub once: it retries nothing and follows no redirect."""

    async def fetch(self, request: Request, conditions: Mapping[str, str]) -> Response:
        """Send a cacheable read; `conditions` replace the caller's own conditional headers.

        Raises:
            UpstreamError: no answer.
        """
        ...
