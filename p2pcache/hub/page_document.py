"""The page as one document: style sheet and script stand in it, and its policy names both by their digest."""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path

from p2pcache.gateway.head import Line
from p2pcache.hub.markup import Markup, joined, tag
from p2pcache.hub.page_sections import PageView, sections, title

ASSETS = Path(__file__).parent / "assets"
RELOAD_SECONDS = 10
"""How often a page without scripts loads itself again."""


@functools.cache
def asset(name: str) -> Markup:
    """Return a file of the page, which is trusted as the code is."""
    return Markup((ASSETS / name).read_text("utf-8"))


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@functools.cache
def headers() -> tuple[Line, ...]:
    """Return the lines that keep the page to itself: no other code runs in it, and no other site shows or reads it."""
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_digest(asset('page.js'))}",
            f"style-src {_digest(asset('page.css'))}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cache-control", b"no-store"),
    )


def document(view: PageView) -> bytes:
    """Return the page as HTML, with the figures of `view`."""
    icon = base64.b64encode(asset("icon.svg").encode()).decode()
    shown = sections(view)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title(view)),
        tag("link", rel="icon", href=f"data:image/svg+xml;base64,{icon}"),
        tag("style", asset("page.css")),
        tag("noscript", tag("meta", http_equiv="refresh", content=RELOAD_SECONDS)),
    )
    name = "p2pcache hub" if view.hub else "p2pcache node"
    top = tag(
        "header",
        tag("h1", asset("icon.svg"), name),
        tag("p", id="link", role="status"),
        shown.pop("about"),
        class_="top",
    )
    health = shown.pop("health")
    body = tag("body", top, health, tag("main", *shown.values()), tag("script", asset("page.js")))
    return joined((Markup("<!DOCTYPE html>"), tag("html", head, body, lang="en"))).encode()
