"""HTTP to a service that is not trusted: bounded answers, no redirect followed, and each failure as one sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import aiohttp

from p2pcache.proxies import Proxies, Proxy
from p2pcache.stores.driver import StoreError

CONNECT_SECONDS = 2.0
CONNECTIONS = 32
_PIECE = 64 << 10
_CERTIFICATE = "its certificate is not trusted here: let SSL_CERT_FILE name the certificate of its authority"

Query = Sequence[tuple[str, str]]


class Reply(NamedTuple):
    """An answer: its status, and its body."""

    status: int
    body: bytes


class Service:
    """One HTTP service.

    Args:
        url: its address, without a slash at the end.
        headers: sent with each request.
        proxied: whether to go through the proxy that the environment names.
    """

    def __init__(self, url: str, headers: Mapping[str, str], *, proxied: bool) -> None:
        self.url = url
        self._headers = headers
        self._proxy = Proxies().of(url) if proxied else Proxy(None, {})
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        method: str,
        path: str,
        query: Query = (),
        *,
        most: int,
        seconds: float,
        cut: bool = False,
        body: aiohttp.FormData | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request, and return the answer.

        Args:
            method: ``GET`` or ``POST``.
            path: of the request, below the service's address.
            query: its names and values.
            most: bytes of the answer's body; a longer one is refused.
            seconds: for all of it.
            cut: return the beginning of a longer body instead.
            body: of the request.
            headers: of the request, beside the service's own.

        Raises:
            StoreError: there is no answer in time, or it is too long.
        """
        try:
            async with (
                asyncio.timeout(seconds),
                self._opened().request(
                    method,
                    self.url + path,
                    params=query,
                    data=body,
                    headers=headers,
                    proxy=self._proxy.url,
                    proxy_headers=self._proxy.headers,
                    allow_redirects=False,
                ) as response,
            ):
                return Reply(response.status, await _read(response, most, cut=cut))
        except TimeoutError:
            raise StoreError(f"no answer within {seconds:g} s") from None
        except aiohttp.ClientConnectorCertificateError:
            raise StoreError(_CERTIFICATE, lasting=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise StoreError(f"it cannot be reached ({_reason(error)})") from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={**self._headers, "Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _read(response: aiohttp.ClientResponse, most: int, *, cut: bool) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_chunked(_PIECE):
        body += piece
        if len(body) > most:
            if cut:
                break
            raise StoreError(f"an answer of more than {most} bytes")
    return bytes(body[:most])


def _reason(error: BaseException) -> str:
    """Return an error's kind or the system's words: the HTTP client's own text may hold what the service chose."""
    return getattr(error, "strerror", None) or type(error).__name__
