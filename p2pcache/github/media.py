"""GitHub's own media types, which select the form of an answer."""

from __future__ import annotations

import re

_FORMS = ("raw", "text", "html", "full", "diff", "patch", "sha", "object", "base64", "star")
_FORM = re.compile(rf"application/vnd\.github(?:\.v3|\.[\w-]+-preview)?\.({'|'.join(_FORMS)})\b")


def form(accept: str | None) -> str:
    """Return the form of answer that an ``Accept`` selects, one of `_FORMS`, or ``json``.

    Source: docs.github.com, "Media types".
    """
    found = _FORM.search(accept or "")
    return found[1] if found else "json"
