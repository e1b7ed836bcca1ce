"""HTTP to a service that is not trusted: bounded answers, no redirect followed, and each failure as one sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import aiohttp

from p2pcache.bounded import gathered
from p2pcache.http_errors import CERTIFICATE, reason
from p2pcache.proxies import Proxies, Proxy
from p2pcache.stores.driver import StoreError

CONNECT_SECONDS = 2.0
CONNECTIONS = 32
_PIECE = 64 << 10

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
        self._proxy = Proxies().of(url) if proxied else Proxy()
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
                    headers={**(headers or {}), **self._proxy.plain},
                    proxy=self._proxy.url,
                    proxy_headers=self._proxy.headers,
                    allow_redirects=False,
                ) as response,
            ):
                found = await gathered(response.content.iter_chunked(_PIECE), most)
                if len(found) > most and not cut:
                    raise StoreError(f"an answer of more than {most} bytes")
                return Reply(response.status, found[:most])
        except TimeoutError:
            raise StoreError(f"no answer within {seconds:g} s") from None
        except aiohttp.ClientConnectorCertificateError:
            raise StoreError(CERTIFICATE, lasting=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise StoreError(f"it cannot be reached ({reason(error)})") from None

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
