from __future__ import annotations

import pytest

from p2pcache.github.media import form


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "json"),
        ("", "json"),
        ("*/*", "json"),
        ("application/json", "json"),
        ("application/vnd.github+json", "json"),
        ("application/vnd.github.v3+json", "json"),
        ("application/vnd.github.groot-preview+json", "json"),
        ("application/vnd.github.raw", "raw"),
        ("application/vnd.github.raw+json", "raw"),
        ("application/vnd.github.v3.raw", "raw"),
        ("application/vnd.github.v3.full+json", "full"),
        ("application/vnd.github.star-preview.raw+json", "raw"),
        ("application/vnd.github.diff", "diff"),
        ("text/plain, application/vnd.github.v3.patch; q=0.9", "patch"),
        ("application/vnd.github.sha", "sha"),
        ("application/vnd.github.shadow+json", "json"),
        ("application/vnd.github.anything", "json"),
    ],
)
def test_form(accept: str | None, expected: str) -> None:
    assert form(accept) == expected
