"""The proxy that the environment names for a URL, by curl's variables: self-hosted runners may need one."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
import urllib.request
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import aiohttp
from yarl import URL

from p2pcache.bounded import Bounded

ORIGINS = 512

_HOST = re.compile(r"[\w.:-]+")
_log = logging.getLogger(__name__)


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
            proxy = None if direct else _named(scheme)
            headers = {}
            if proxy and proxy.user:
                headers["Proxy-Authorization"] = aiohttp.encode_basic_auth(proxy.user, proxy.password or "")
            plain = headers if scheme == "http" else {}
            self._by_origin[origin] = Proxy(proxy.with_user(None) if proxy else None, headers, plain)
        return self._by_origin[origin]


def unusable(url: str) -> bool:
    """Return whether the environment names a proxy for `url` that is no HTTP proxy, and is left out."""
    scheme, _, rest = url.partition("://")
    text = urllib.request.getproxies().get(scheme)
    return bool(text) and not urllib.request.proxy_bypass(rest.partition("/")[0]) and _named(scheme) is None


def _named(scheme: str) -> URL | None:
    """Return the proxy that the environment names for a scheme; one that cannot be used is logged, and left out."""
    text = urllib.request.getproxies().get(scheme)
    if not text:
        return None
    try:
        proxy = URL(text if "://" in text else f"http://{text}")  # as curl reads it
        usable = proxy.scheme in ("http", "https") and _HOST.fullmatch(proxy.host or "") and proxy.port
    except ValueError:
        usable = False
    if usable:
        return proxy
    _log.warning("%s_PROXY is left out: expected an HTTP proxy, e.g. http://proxy.example:3128", scheme.upper())
    return None


def _in_a_range(netloc: str) -> bool:
    """Return whether NO_PROXY has this address, or a range with it (CIDR): curl takes them, Python does not."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(URL(f"//{netloc}").host or "")
        for name in urllib.request.getproxies().get("no", "").split(","):
            with contextlib.suppress(ValueError):
                if address in ipaddress.ip_network(name.strip(), strict=False):
                    return True
    return False
