"""Questions to the API and what comes of them: checked paths in, answers or one sentence out."""

from __future__ import annotations

import asyncio
import http
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from p2pcache.github.classify import classify
from p2pcache.github.hosts import API_HOST
from p2pcache.github.request import Bypass, Request
from p2pcache.hub.mcp.node_api import ApiAnswer, ApiError, NodeApi
from p2pcache.hub.mcp.picks import shortened
from p2pcache.hub.mcp.untrusted import visible

MAX_TARGET = 2048
"""Characters."""
IN_A_THREAD = 128 << 10
"""Bytes; to parse a longer body would hold the event loop up for milliseconds."""
MESSAGE = 300
HOPS = 3

_REPOSITORY = re.compile(r"(?!\.{1,2}/)[\w.-]{1,100}/(?!\.{1,2}\Z)[\w.-]{1,100}", re.ASCII)
# What GitHub answers for a repository that was renamed (docs.github.com, "Best practices for using the REST API").
_RENAMED = re.compile(r"https?://[^/]+(?:/api/v3)?(/repositories/[0-9]+(?:[/?].*)?)")
_CREDENTIALS = frozenset({"access_token", "client_secret"})
_HINTS: Mapping[int, str] = {
    401: "the token is not valid",
    403: "this token may not, or a limit is reached",
    404: "it does not exist, or this token may not read it",
    429: "a limit is reached",
}


class AskError(ValueError):
    """A call that cannot be answered; the message is one sentence for the model."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer of the API; `path` is that which it was charged for."""

    answer: ApiAnswer
    path: str


@dataclass(frozen=True, slots=True)
class Rows(Finding):
    """A page of a list; `last`: GitHub has no more. `also` stands beside the rows."""

    rows: list[dict[str, Any]]
    page: int = 1
    last: bool = True
    also: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Text(Finding):
    """A text of any length; `also` stands beside it."""

    text: str
    also: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class One(Finding):
    """One object."""

    data: dict[str, Any]


def target_of(path: str) -> str:
    """Return the target (path and query) that `path`, or a URL of GitHub's API, names.

    Raises:
        AskError: it leads to another server, or is written in a way that servers read differently.
    """
    target = path.removeprefix(f"https://{API_HOST}") if path.startswith(f"https://{API_HOST}/") else path
    if len(target) > MAX_TARGET:
        raise AskError(f"path: more than {MAX_TARGET} characters")
    if not target.startswith("/") or target.startswith(("//", "/-/")) or not all("!" <= c <= "~" for c in target):
        raise AskError("path: expected one of GitHub's REST API, such as /repos/OWNER/REPO/branches?per_page=50")
    path, _, query = target.partition("?")
    found = classify(Request("GET", target))
    # The cache looks no further into what it passes on.
    odd = isinstance(found, Bypass) and (found.reason == "odd" or _odd(path) or _has_credential(query))
    if odd or "#" in target:
        raise AskError("path: it has empty or dot segments, odd characters, or a credential in its query")
    return target


def _has_credential(query: str) -> bool:
    return any(name.lower() in _CREDENTIALS for name, _ in parse_qsl(query, keep_blank_values=True))


def _odd(path: str) -> bool:
    lower = path.lower()
    return any(part in (".", "..") for part in lower.replace("%2e", ".").split("/")) or any(
        each in lower for each in ("//", "\\", "%2f", "%5c", "%00", "%0a", "%0d")
    )


def repository_path(repository: str) -> str:
    """Return the path of OWNER/REPO.

    Raises:
        AskError: it is not that.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise AskError("repo: expected OWNER/REPO, e.g. python/cpython")
    return f"/repos/{repository}"


async def ask(api: NodeApi, target: str, body: bytes | None = None) -> Finding:
    """Return GitHub's answer, behind at most `HOPS` redirects of a renamed repository.

    Raises:
        ApiError: there is none.
        AskError: it is an error, or leads elsewhere.
    """
    for _ in range(HOPS):
        answer = await api.github(target, body)
        if answer.status not in (301, 302, 307, 308):
            break
        moved = _RENAMED.fullmatch(answer.headers.get("location", ""))
        if moved is None:
            raise AskError(f"GitHub answers {answer.status}: it leads to another server, which is not read here")
        target = target_of(moved[1])
    if answer.status != http.HTTPStatus.OK:
        raise AskError(refusal(answer))
    return Finding(answer, target.partition("?")[0])


def refusal(answer: ApiAnswer) -> str:
    """Return an error answer as a sentence."""
    try:
        message = str(msgspec.json.decode(answer.body, type=dict[str, msgspec.Raw]).get("message", b""), "utf-8")
        message = msgspec.json.decode(message, type=str) if message else ""
    except (ValueError, RecursionError, TypeError):
        message = ""
    hint = _HINTS.get(answer.status, "")
    if message.startswith("p2pcache: "):  # the node's own
        return f"{answer.status}: {shortened(visible(message), MESSAGE)}"
    quoted = f' ("{shortened(visible(message), MESSAGE)}")' if message else ""
    return f"GitHub answers {answer.status}{quoted}{hint and f': {hint}'}"


async def parsed(answer: ApiAnswer) -> Any:
    """Return the body's JSON value.

    Raises:
        ApiError: it has none.
    """
    try:
        if len(answer.body) > IN_A_THREAD:
            return await asyncio.to_thread(msgspec.json.decode, answer.body)
        return msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError):
        raise ApiError("the answer is not JSON") from None


def objects(value: Any) -> list[Any]:
    """Return the objects of a JSON array, none where it is no array."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def has_next(answer: ApiAnswer) -> bool:
    """Return whether GitHub has a next page (RFC 8288)."""
    return 'rel="next"' in answer.headers.get("link", "")
