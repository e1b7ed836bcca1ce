"""Which names are GitHub's, and what the gateway does for them."""

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


def kind(host: str) -> Literal["api", "stream"] | None:
    """What a ``Host`` (without port, any case) is: the API, a GitHub name to stream through, or none of GitHub's."""
    name = host.lower()
    if name == API_HOST:
        return "api"
    return "stream" if _GITHUB.fullmatch(name) else None
