"""By how much this machine's clock differs from a server's, by the ``Date`` of any answer."""

from __future__ import annotations

import asyncio
import email.utils

import aiohttp

from p2pcache.clock import unix_time
from p2pcache.proxies import Proxies


async def skew_of(url: str, seconds: float) -> float | None:
    """Return the server's clock minus this machine's, in seconds; None where no answer in time has a ``Date``.

    The request is anonymous and follows no redirect. ``Date`` has whole seconds (RFC 9110 section 6.6.1), so less than
    one, and half of the time that the exchange took, is no difference.
    """
    proxy = Proxies().of(url)
    try:
        async with (
            asyncio.timeout(seconds),
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        ):
            began = unix_time()
            async with session.head(
                url,
                headers=dict(proxy.plain),
                allow_redirects=False,
                proxy=proxy.url,
                proxy_headers=proxy.headers,
            ) as response:
                ended = unix_time()
                named = email.utils.parsedate_to_datetime(response.headers.get("Date", ""))
    except (aiohttp.ClientError, OSError, ValueError):  # a TimeoutError is an OSError
        return None
    skew = named.timestamp() + 0.5 - (began + ended) / 2
    return 0.0 if abs(skew) <= 0.5 + (ended - began) / 2 else skew
