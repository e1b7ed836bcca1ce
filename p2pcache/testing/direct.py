"""The stand-in GitHub without a socket: an upstream for the engine in simulations and models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from p2pcache.cache.upstream import UpstreamError
from p2pcache.github.request import Request
from p2pcache.testing.judge import Verdict
from p2pcache.testing.standin import StandIn

_CONDITIONS = frozenset({"if-none-match", "if-modified-since"})

Around = Callable[[Request, Callable[[], Verdict]], Awaitable[Verdict]]


class Direct:
    """An implementation of `p2pcache.cache.upstream.Upstream`.

    Attributes:
        around: called with each request and a function that answers it; may wait, raise `UpstreamError`, or change the
            answer.
        broken: whether bodies end early.
        open: the number of unclosed responses.
    """

    def __init__(self, github: StandIn) -> None:
        self.around: Around = _at_once
        self.broken = False
        self.open = 0
        self._github = github

    async def fetch(self, request: Request, conditions: Mapping[str, str]) -> DirectResponse:
        """Return one answer of the stand-in, with a weak tag as GitHub sends to callers that accept gzip."""
        headers = {name: value for name, value in request.headers.items() if name not in _CONDITIONS}
        headers |= conditions
        verdict = await self.around(
            request, lambda: self._github.ask(request.method, request.target, headers, request.body)
        )
        self.open += 1
        return DirectResponse(verdict, self._closed, broken=self.broken)

    def _closed(self) -> None:
        self.open -= 1


class DirectResponse:
    """An implementation of `p2pcache.cache.upstream.Response`."""

    def __init__(self, verdict: Verdict, closed: Callable[[], None], *, broken: bool) -> None:
        self.status = verdict.status
        self.headers: Mapping[str, str] = verdict.headers | ({"etag": f'W/"{verdict.tag}"'} if verdict.tag else {})
        self.pairs = list(self.headers.items())
        self._body = b"" if verdict.status == 304 else verdict.body
        self._broken = broken
        self._closed: Callable[[], None] | None = closed

    async def read(self, limit: int) -> bytes | None:
        """See `cache.upstream.Response.read`."""
        await asyncio.sleep(0)
        if self._broken:
            raise UpstreamError("GitHub broke off its answer")
        return None if len(self._body) > limit else self._body

    async def stream(self) -> AsyncIterator[bytes]:
        """See `cache.upstream.Response.stream`."""
        yield self._body

    async def close(self) -> None:
        """See `cache.upstream.Response.close`."""
        if self._closed is not None:
            self._closed()
            self._closed = None


async def _at_once(request: Request, answer: Callable[[], Verdict]) -> Verdict:  # noqa: ARG001 - an `Around`
    await asyncio.sleep(0)
    return answer()
