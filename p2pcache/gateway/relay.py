"""Passes a request on and its answer back, in pieces, both ways; nothing is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from p2pcache.cache.upstream import UpstreamError
from p2pcache.gateway.exchange import BODILESS, BadRequest, Disconnected, Exchange
from p2pcache.gateway.head import Line
from p2pcache.gateway.http_upstream import GZIP, REPLACED_FIELDS, HttpUpstream, UpstreamResponse
from p2pcache.gateway.respond import rebased, weakened
from p2pcache.gateway.routing import Upstreams
from p2pcache.github import links
from p2pcache.github.headers import OWN_FIELDS, end_to_end, is_json

MAX_REWRITE = 8 << 20
"""Bytes; a longer JSON body keeps GitHub's URLs, which still work, past the cache."""

CODED = frozenset({b"content-encoding", b"content-length"})
"""Fields of a body as it came over the wire, not as it is shown."""


Seen = Callable[[bytes | None], Awaitable[None]]


class Relay:
    """Streams requests that the cache does not answer."""

    def __init__(self, upstream: HttpUpstream, upstreams: Upstreams) -> None:
        self._upstream = upstream
        self._upstreams = upstreams

    async def ask(self, exchange: Exchange, url: str, first: bytes = b"", *, whole: bool = False) -> UpstreamResponse:
        """Send the request on as it is; `first` is what was read of its body, `whole` means that was all of it.

        Raises:
            UpstreamError: no answer.
            BadRequest: the client paused for too long in its body.
            Disconnected: the client broke off in its body.
        """
        headers = [(n, v) for n, v in exchange.pairs if n not in REPLACED_FIELDS and not n.startswith(OWN_FIELDS)]
        if whole or exchange.length == 0:
            return await self._upstream.send(exchange.method, url, headers, first or None)
        if exchange.length is not None:
            headers.append(("content-length", str(exchange.length)))
        upload = _Upload(exchange, first)
        try:
            return await self._upstream.send(exchange.method, url, headers, upload.pieces())
        except UpstreamError:
            if upload.failure is not None:
                raise upload.failure from None
            raise

    async def answer(
        self, exchange: Exchange, answer: UpstreamResponse, base: str, extra: Iterable[Line], seen: Seen | None = None
    ) -> None:
        """Send GitHub's answer back; for a client of the gateway's own address (`base`), with URLs that stay on it.

        `seen` is called with the whole body before any of it goes out, or with None when it is too long or in a coding
        that is not read here.

        Raises:
            UpstreamError: the answer broke off (before or after its head went out).
            Disconnected: the client went away.
        """
        try:
            bodiless = exchange.method == "HEAD" or answer.status in BODILESS
            lines = [*pass_lines(answer.pairs, base, self._upstreams), *extra]
            readable = answer.coding in ("identity", *GZIP) and not bodiless
            if readable and (seen or (base and is_json(answer.headers.get("content-type", "")))):
                await self._read(exchange, answer, base, lines, seen)
                return
            if seen:
                await seen(None)
            await exchange.start(answer.status, lines)
            if bodiless:
                await exchange.send(b"")
            else:
                await pump(exchange, answer.raw())
        finally:
            await answer.close()

    async def _read(
        self, exchange: Exchange, answer: UpstreamResponse, base: str, lines: list[Line], seen: Seen | None
    ) -> None:
        plain = [line for line in lines if line[0] not in CODED]
        try:
            body = await answer.read(MAX_REWRITE)
        except UpstreamError:
            if seen:
                await seen(None)
            raise
        if seen:
            await seen(body)
        if body is None:
            await exchange.start(answer.status, plain)
            await pump(exchange, answer.stream())
        else:
            moved = base and is_json(answer.headers.get("content-type", ""))
            shown = links.rewrite_body(body, self._upstreams.bases, base) if moved else body
            await exchange.reply(answer.status, shown, plain if shown == body else weakened(plain))


class _Upload:
    """A client's body while it is sent, and the error that it ended with, if any."""

    def __init__(self, exchange: Exchange, first: bytes) -> None:
        self._exchange = exchange
        self._first = first
        self.failure: Disconnected | BadRequest | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._exchange.stream(self._first):
                yield piece
        except (Disconnected, BadRequest) as error:
            self.failure = error
            raise


async def pump(exchange: Exchange, pieces: AsyncIterator[bytes]) -> None:
    """Send all pieces, at the pace at which the client reads them."""
    async for piece in pieces:
        await exchange.send(piece, more=True)
    await exchange.send(b"")


def pass_lines(pairs: Iterable[tuple[str, str]], base: str, upstreams: Upstreams) -> list[Line]:
    """Return GitHub's end-to-end header lines; `Link` and `Location` lead to `base` when it is set."""
    return end_to_end(
        (
            name.encode("latin-1"),
            (rebased(value, base, upstreams) if name in ("link", "location") else value).encode("latin-1"),
        )
        for name, value in pairs
    )
