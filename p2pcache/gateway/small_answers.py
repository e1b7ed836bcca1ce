"""One small answer over HTTPS, within a deadline and a bound, by the proxy that the environment names."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

import aiohttp
from yarl import URL

from p2pcache.bounded import gathered
from p2pcache.http_errors import CERTIFICATE, reason
from p2pcache.proxies import Proxies

BYTES = 64 << 10


class SmallAnswerError(Exception):
    """There is no usable answer; the message is a sentence that holds nothing of what was sent."""


async def get(url: str, headers: Mapping[str, str], seconds: float) -> bytes:
    """Return the body of a 200.

    Args:
        url: sent as it is. Redirects are not followed.
        headers: of the request.
        seconds: for all of it.

    Raises:
        SmallAnswerError: there is none in time, another status, or more than 64 KiB.
    """
    if not url.startswith("https://"):
        raise SmallAnswerError("its address is no https URL")
    proxy = Proxies().of(url)
    sent = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
    try:
        async with (
            asyncio.timeout(seconds),
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as session,
            session.get(
                URL(url, encoded=True),
                headers=sent,
                ssl=ssl.create_default_context(),  # aiohttp's own is from before SSL_CERT_FILE is received
                proxy=proxy.url,
                proxy_headers=proxy.headers,
                allow_redirects=False,
            ) as response,
        ):
            if response.status != 200:
                raise SmallAnswerError(f"it answers {response.status}")
            body = await gathered(response.content.iter_chunked(BYTES), BYTES)
            if len(body) > BYTES:
                raise SmallAnswerError(f"it answers more than {BYTES} bytes")
            return body
    except TimeoutError:
        raise SmallAnswerError(f"no answer within {seconds:g} s") from None
    except aiohttp.ClientConnectorCertificateError:
        raise SmallAnswerError(CERTIFICATE) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise SmallAnswerError(f"it cannot be reached ({reason(error)})") from None
