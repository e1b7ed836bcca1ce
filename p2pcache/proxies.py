"""The proxy that the environment names for a URL, by curl's variables: self-hosted runners may need one."""

from __future__ import annotations

import contextlib
import ipaddress
import urllib.request
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import aiohttp
from yarl import URL

from p2pcache.bounded import Bounded

ORIGINS = 512


class Proxy(NamedTuple):
    """A proxy without its credentials, or None for a direct connection; and the header that carries them.

    Attributes:
        url: where it is.
        headers: of the CONNECT that opens a tunnel, for https.
        plain: of each request that the proxy reads, for http: aiohttp sends `headers` with CONNECT alone.
    """

    url: URL | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    plain: Mapping[str, str] = MappingProxyType({})


class Proxies:
    """Looks proxies up, and remembers them by origin.

    Not aiohttp's ``trust_env``: that also reads netrc, and would lend its credentials to anonymous requests.
    """

    def __init__(self) -> None:
        self._by_origin: Bounded[str, Proxy] = Bounded(ORIGINS)

    def of(self, url: str) -> Proxy:
        """Return the proxy for `url`."""
        scheme, _, rest = url.partition("://")
        netloc = rest.partition("/")[0]
        origin = f"{scheme}://{netloc}"
        if origin not in self._by_origin:
            direct = urllib.request.proxy_bypass(netloc) or _in_a_range(netloc)
            named = None if direct else urllib.request.getproxies().get(scheme)
            proxy = URL(named) if named else None
            headers = {}
            if proxy and proxy.user:
                headers["Proxy-Authorization"] = aiohttp.encode_basic_auth(proxy.user, proxy.password or "")
            plain = headers if scheme == "http" else {}
            self._by_origin[origin] = Proxy(proxy.with_user(None) if proxy else None, headers, plain)
        return self._by_origin[origin]


def _in_a_range(netloc: str) -> bool:
    """Return whether NO_PROXY has this address, or a range with it (CIDR): curl takes them, Python does not."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(URL(f"//{netloc}").host or "")
        for name in urllib.request.getproxies().get("no", "").split(","):
            with contextlib.suppress(ValueError):
                if address in ipaddress.ip_network(name.strip(), strict=False):
                    return True
    return False
