"""Files as they are, like those of ``raw.githubusercontent.com`` and of ``/raw`` on an Enterprise Server."""

from __future__ import annotations

import hashlib
import mimetypes

from p2pcache.testing.routing import NOT_FOUND, Answer, Ask, Problem
from p2pcache.testing.world import Commit, Repository

PREFIX = "/raw/"


def raw_file(ask: Ask) -> Answer:
    """Return a file to a viewer that may read its repository; no quota counts it.

    Raises:
        Problem: 404, for whatever is no such file.
    """
    owner, _, rest = ask.path.removeprefix(PREFIX).partition("/")
    name, _, rest = rest.partition("/")
    of = ask.world.named(f"{owner}/{name}")
    if of is None or not ask.viewer.may_read(of):
        raise Problem(*NOT_FOUND)
    path, at = _at(of, rest)
    if at is None or path not in at.files:
        raise Problem(*NOT_FOUND)
    data = at.files[path]
    headers = {"content-type": _type(path), "cache-control": "max-age=300", "vary": "Authorization,Accept-Encoding"}
    return Answer(data, headers=headers, tag=hashlib.sha256(b"raw" + data).hexdigest())


def _at(of: Repository, rest: str) -> tuple[str, Commit | None]:
    """Return a path and its commit: a ref has as many segments as make it one."""
    parts = rest.split("/")
    for end in range(1, len(parts)):
        if at := of.commit("/".join(parts[:end])):
            return "/".join(parts[end:]), at
    return "", None


def _type(path: str) -> str:
    guessed = mimetypes.guess_type(path)[0] or "text/plain"
    return guessed if guessed.startswith("image/") else "text/plain; charset=utf-8"
