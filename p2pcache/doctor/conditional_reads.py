"""Reads of GitHub past the cache, with and without tags, and whether an answer's tag is the computed one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from p2pcache.gateway.http_upstream import HttpUpstream
from p2pcache.github import etag
from p2pcache.github.request import Request
from p2pcache.values import Secret

JSON = "application/vnd.github+json"
MAX_BODY = 8 << 20


@dataclass(frozen=True, slots=True)
class ReadReply:
    """An answer; its body is empty where it was larger than `MAX_BODY`."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def tag(self) -> str:
        """Its ``ETag``, or ""."""
        return self.headers.get("etag", "")


def read_request(target: str, token: Secret | None, accept: str = JSON) -> Request:
    """Return the request for a target of the API, with a token or as an anonymous caller."""
    headers = {"accept": accept}
    if token:
        headers["authorization"] = f"Bearer {token.reveal()}"
    return Request("GET", target, headers)


async def ask(upstream: HttpUpstream, request: Request, *tags: str) -> ReadReply:
    """Send a request, with `tags` as ``If-None-Match``, and return the answer.

    Raises:
        UpstreamError: there is none.
    """
    conditions = {"if-none-match": ", ".join(tags)} if tags else {}
    response = await upstream.fetch(request, conditions)
    try:
        body = await response.read(MAX_BODY)
    finally:
        await response.close()
    return ReadReply(response.status, response.headers, body or b"")


def computed_tags(request: Request, body: bytes, answer: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the tags that GitHub may give `body` for a request; `answer` has an answer's fields, once there is one."""
    headers = answer or {}
    return etag.tags(request.headers, etag.vary_of(headers), headers.get("content-type", "application/json"), body)


def agrees(tags: tuple[str, ...], given: str) -> bool:
    """Return whether GitHub's tag is one of `tags`."""
    return any(etag.weakly_equal(tag, given) for tag in tags)
