"""GitHub's own media types: which form of an answer a request asks for."""

from __future__ import annotations

import re

_FORMS = ("raw", "text", "html", "full", "diff", "patch", "sha", "object", "base64", "star")
_FORM = re.compile(rf"application/vnd\.github(?:\.v3|\.[\w-]+-preview)?\.({'|'.join(_FORMS)})\b")


def form(accept: str | None) -> str:
    """The form that a request's ``Accept`` asks for, one of a few words, e.g. ``raw``; ``json`` without one.

    Source: docs.github.com, "Media types".
    """
    found = _FORM.search(accept or "")
    return found[1] if found else "json"
