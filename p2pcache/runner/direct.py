"""A job without the cache: GitHub's own addresses for later steps, and whether it may go on at all.

Standard library only: it runs before anything is installed. ``post/start.sh`` repeats its rules for a machine without
a usable Python, ``post/post.js`` that of `strict`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from p2pcache.exports import JOB_EXPORTS
from p2pcache.github.hosts import API_HOST


def addresses(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the API's and GraphQL's URL: those of input upstream when it is a URL, else the runner's own."""
    given = environ.get("INPUT_UPSTREAM", "").strip()
    api = (given if _usable(given) else environ.get("GITHUB_API_URL", "").strip() or f"https://{API_HOST}").rstrip("/")
    return api, re.sub(r"/api/v3$", "/api", api) + "/graphql"


def strict(environ: Mapping[str, str]) -> bool:
    """Return whether a failed start fails the job; a value that is neither true nor false counts as true."""
    return environ.get("INPUT_STRICT", "").strip().lower() not in ("", "false")


def bypass(environ: Mapping[str, str]) -> None:
    """Write the outputs and variables by which later steps reach GitHub without the cache."""
    api, graphql = addresses(environ)
    urls = {"api-url": api, "graphql-url": graphql}
    _append(environ.get("GITHUB_OUTPUT"), {**urls, "p2p-connected": "false"})
    _append(environ.get("GITHUB_ENV"), {JOB_EXPORTS[name]: url for name, url in urls.items()})


def _append(path: str | None, values: Mapping[str, str]) -> None:
    """Append to one of the runner's files, each value between delimiters that cannot be guessed."""
    if not path:
        return
    with Path(path).open("a", encoding="utf-8") as file:
        for name, value in values.items():
            mark = f"ghadelimiter_{uuid.uuid4()}"
            file.write(f"{name}<<{mark}\n{value}\n{mark}\n")


def _usable(text: str) -> bool:
    if not text.isprintable() or set(" @?#") & set(text):
        return False
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
