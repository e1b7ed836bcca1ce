"""Where a job is led that goes on without the cache, and whether it may. Standard library only: it runs uninstalled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

API = "https://api.github.com"


def addresses(environ: Mapping[str, str]) -> tuple[str, str]:
    """The API's and GraphQL's URL: those of input upstream when it is a URL, else the runner's own."""
    given = environ.get("INPUT_UPSTREAM", "").strip()
    api = (given if _usable(given) else environ.get("GITHUB_API_URL", "").strip() or API).rstrip("/")
    return api, re.sub(r"/api/v3$", "/api", api) + "/graphql"


def strict(environ: Mapping[str, str]) -> bool:
    """Whether a start that failed fails the job: a value that is neither yes nor no was meant to say something."""
    return environ.get("INPUT_STRICT", "").strip().lower() not in ("", "false")


def _usable(text: str) -> bool:
    if not text.isprintable() or set(" @?#") & set(text):
        return False
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
