"""Classification of host names: GitHub's API, GitHub's other names, and names of servers in general."""

from __future__ import annotations

import re
from typing import Literal

API_HOST = "api.github.com"

# GitHub's own domains, and those its redirects lead to: registries, and the stores of artifacts and logs.
# Source: docs.github.com, "Self-hosted runners reference", accessible domains by function.
_GITHUB = re.compile(
    r"(?:[a-z0-9-]+\.)*(?:github\.com|githubusercontent\.com|githubapp\.com)"
    r"|ghcr\.io|github-cloud\.s3\.amazonaws\.com|productionresultssa[0-9]{1,3}\.blob\.core\.windows\.net"
)

# A public or private DNS name. A name that ends in a number is an address in some spelling
# (url.spec.whatwg.org, "ends in a number"): 127.1 and 0x7f000001 are this machine.
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?![0-9]){_LABEL}")
_THIS_MACHINE = re.compile(r"(?:.*\.)?(?:ip6-)?(?:localhost|loopback|localdomain)")


def names_a_server(host: str) -> bool:
    """Return whether a ``Host`` (no port, any case) is a DNS name of another machine and not an address."""
    name = host.lower()
    return _NAME.fullmatch(name) is not None and not _THIS_MACHINE.fullmatch(name)


def kind(host: str) -> Literal["api", "stream"] | None:
    """Return the kind of a ``Host`` (no port, any case): the API, another GitHub name to stream, or None."""
    name = host.lower()
    if name == API_HOST:
        return "api"
    return "stream" if _GITHUB.fullmatch(name) else None
