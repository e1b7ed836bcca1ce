"""The arguments and results of handlers, and their routing by path."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import msgspec

from p2pcache.testing.accounts import Viewer
from p2pcache.testing.shapes import API
from p2pcache.testing.world import Repository, World

DOCS = "https://docs.github.com/rest"
JSON_TYPE = "application/json; charset=utf-8"
PER_PAGE, MAX_PER_PAGE = 30, 100
HASHED = "hashed"
READS = {"GET", "HEAD"}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request after authentication and rate limit; `features` is its ``GraphQL-Features``."""

    method: str
    path: str
    query: Mapping[str, str]
    accept: str
    body: bytes
    viewer: Viewer
    world: World
    features: str = ""

    def fields(self) -> dict[str, Any]:
        """Return the JSON object in the body.

        Raises:
            Problem: 400, there is none.
        """
        try:
            return msgspec.json.decode(self.body or b"{}", type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise Problem(400, "Problems parsing JSON") from None

    def wants(self, form: str) -> bool:
        """Return whether a GitHub media type selects `form`, e.g. ``raw`` in ``application/vnd.github.raw+json``."""
        return re.search(rf"application/vnd\.github\.(v3\.)?{form}\b", self.accept) is not None


@dataclass(slots=True)
class Answer:
    """The result of a handler.

    Attributes:
        body: bytes, a value for minified JSON, or None for no body.
        modified: the Last-Modified, if any.
        tag: the opaque part of the ETag; `HASHED` if it is computed over request and body, None without one.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    modified: datetime | None = None
    tag: str | None = HASHED

    def encoded(self) -> bytes:
        """Return the body's bytes, over which the tag is computed."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """An answer that is not success."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.body = {"message": message, **more, "documentation_url": DOCS, "status": str(status)}

    def answer(self) -> Answer:
        """Return the problem as an answer."""
        return Answer(self.body, self.status, self.headers)


NOT_FOUND = (404, "Not Found")
Handler = Callable[..., Answer]


class Routes:
    """Handlers by method and path template, with those of `parts`; ``{name}`` is one segment, ``{name*}`` the rest."""

    def __init__(self, *parts: Routes) -> None:
        self.table: list[tuple[str, re.Pattern[str], Handler]] = [each for part in parts for each in part.table]

    def on(self, method: str, template: str) -> Callable[[Handler], Handler]:
        """Register a handler; its keyword arguments are the template's names."""
        escaped = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.*)", template)
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", escaped))

        def register(handler: Handler) -> Handler:
            self.table.append((method, pattern, handler))
            return handler

        return register

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """Return the handler of a request and its decoded arguments.

        Raises:
            Problem: 404, for unknown paths and wrong methods alike, as at GitHub.
        """
        for wanted, pattern, handler in self.table:
            if wanted == method and (found := pattern.fullmatch(path)):
                return handler, {name: unquote(value) for name, value in found.groupdict().items()}
        raise Problem(*NOT_FOUND)


def page(ask: Ask, items: list[Any], shape: Callable[[Any], Any], canonical: str) -> Answer:
    """Return one page of a list with GitHub's `Link`, whose URLs have the path `canonical`."""
    size = min(MAX_PER_PAGE, max(1, _number(ask.query, "per_page", PER_PAGE)))
    number = max(1, _number(ask.query, "page", 1))
    last = max(1, -(-len(items) // size))
    shown = [shape(item) for item in items[(number - 1) * size : number * size]]
    others: dict[str, int] = {}
    if number > 1:
        others["prev"] = min(number - 1, last)
    if number < last:
        others |= {"next": number + 1, "last": last}
    if number > 1:
        others["first"] = 1
    links = [f'<{API}{canonical}?{urlencode({**ask.query, "page": at})}>; rel="{rel}"' for rel, at in others.items()]
    return Answer(shown, headers={"link": ", ".join(links)} if links else {})


def repository_page(ask: Ask, of: Repository, items: list[Any], shape: Callable[[Repository, Any], Any]) -> Answer:
    """Return a page of objects in a repository, which `shape` gets as its first argument."""
    tail = re.sub(r"^/(repos/[^/]+/[^/]+|repositories/\d+)", "", ask.path)
    return page(ask, items, lambda item: shape(of, item), f"/repositories/{of.id}{tail}")


def query_of(target: str) -> tuple[str, dict[str, str]]:
    """Split a request target into path and parameters."""
    path, _, query = target.partition("?")
    return path, dict(parse_qsl(query, keep_blank_values=True))


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name, "")
    return int(value) if value.isdecimal() else default
