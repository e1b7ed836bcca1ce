"""Passes a request on and its answer back, in pieces, both ways; nothing is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from p2pcache.gateway.exchange import Exchange
from p2pcache.gateway.routing import Upstreams
from p2pcache.gateway.upstream import Answer, HttpUpstream
from p2pcache.github import links
from p2pcache.github.headers import hop_by_hop

MAX_REWRITE = 8 << 20
"""Bytes; a longer JSON body keeps GitHub's URLs, which still work, past the cache."""

Line = tuple[bytes, bytes]


class Relay:
    """Streams through what is not the cache's business."""

    def __init__(self, upstream: HttpUpstream, upstreams: Upstreams) -> None:
        self._upstream = upstream
        self._upstreams = upstreams

    async def ask(self, exchange: Exchange, url: str, first: bytes = b"", *, whole: bool = False) -> Answer:
        """Send the request on as it is; `first` is what was read of its body, `whole` says that was all.

        Raises:
            UpstreamError: no answer.
        """
        hops = hop_by_hop(exchange.headers) | {"host", "expect"}
        headers = [
            (name, value.decode("latin-1"))
            for raw, value in exchange.raw_headers
            if (name := raw.decode("latin-1")) not in hops
        ]
        body: bytes | AsyncIterator[bytes] | None
        if whole:
            body = first or None
        elif exchange.length == 0:
            body = None
        else:
            body = exchange.stream(first)
        return await self._upstream.send(exchange.method, url, headers, body)

    async def answer(self, exchange: Exchange, answer: Answer, base: str, extra: Iterable[Line]) -> None:
        """Send GitHub's answer back; for a client of the gateway's own address (`base`), with URLs that stay on it.

        Raises:
            UpstreamError: the answer broke off (before or after its head went out).
        """
        try:
            if base and await self._rewritten(exchange, answer, base, extra):
                return
            lines = pass_lines(answer, base, self._upstreams)
            await exchange.start(answer.status, [*lines, *extra])
            if exchange.method != "HEAD" and answer.status not in (204, 304):
                async for piece in answer.raw():
                    await exchange.send(piece, more=True)
            await exchange.send(b"")
        finally:
            await answer.close()

    async def _rewritten(self, exchange: Exchange, answer: Answer, base: str, extra: Iterable[Line]) -> bool:
        coding = answer.headers.get("content-encoding", "identity")
        if exchange.method == "HEAD" or answer.status in (204, 304) or coding not in ("identity", "gzip"):
            return False
        if "json" not in answer.headers.get("content-type", ""):
            return False
        lines = [
            line
            for line in pass_lines(answer, base, self._upstreams)
            if line[0] not in (b"content-encoding", b"content-length")
        ]
        body = await answer.read(MAX_REWRITE)
        if body is None:
            await exchange.start(answer.status, [*lines, *extra])
            async for piece in answer.stream():
                await exchange.send(piece, more=True)
            await exchange.send(b"")
        else:
            await exchange.reply(answer.status, links.rewrite_body(body, self._upstreams.bases, base), [*lines, *extra])
        return True


def pass_lines(answer: Answer, base: str, upstreams: Upstreams) -> list[Line]:
    """GitHub's header lines, less those of the connection; `Link` and `Location` lead to `base` when it is set."""
    hops = hop_by_hop(answer.headers)
    lines: list[Line] = []
    for name, value in answer.pairs:
        if name in hops:
            continue
        shown = value
        if base and name in ("link", "location"):
            for old in upstreams.bases:
                shown = links.rewrite(shown, old, base)
        lines.append((name.encode("latin-1"), shown.encode("latin-1")))
    return lines
