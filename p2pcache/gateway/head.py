"""The head of an answer: the one place where header lines become bytes, whichever way the answer goes."""

from __future__ import annotations

import http
import re
from collections.abc import Iterable

import msgspec

Line = tuple[bytes, bytes]

_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
JSON: Line = (b"content-type", b"application/json; charset=utf-8")


def clean(lines: Iterable[Line]) -> list[Line]:
    """Return the lines that are valid (RFC 9110 sections 5.1 and 5.5), without any that could end its line early."""
    return [(name, value) for name, value in lines if _TOKEN.fullmatch(name) and not _BAD_VALUE.search(value)]


def render(lines: Iterable[Line]) -> bytes:
    """Return header lines as they go over the wire, each with its line end."""
    return b"".join(b"%b: %b\r\n" % line for line in clean(lines))


def status_line(status: int) -> bytes:
    """Return the status line (RFC 9112 section 4)."""
    return b"HTTP/1.1 %d %b\r\n" % (status, http.HTTPStatus(status).phrase.encode())


def cache_status(*parameters: str) -> Line:
    """Return what this cache did (RFC 9211), e.g. ``cache_status("hit", "ttl=42", "detail=peer")``."""
    return b"cache-status", "; ".join(("p2pcache", *parameters)).encode()


def error_body(sentence: str) -> bytes:
    """Return an error in the shape of GitHub's, which clients know how to show."""
    return msgspec.json.encode({"message": f"p2pcache: {sentence}"})


def last_answer(status: int, sentence: str, *parameters: str) -> bytes:
    """Return a whole error answer, after which the connection ends; `parameters` are those of `cache_status`."""
    body = error_body(sentence)
    lines = (JSON, (b"content-length", b"%d" % len(body)), (b"connection", b"close"), cache_status(*parameters))
    return status_line(status) + render(lines) + b"\r\n" + body
