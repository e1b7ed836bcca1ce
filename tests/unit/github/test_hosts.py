from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.github import hosts


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.github.com", "api"),
        ("API.GitHub.com", "api"),
        ("github.com", "stream"),
        ("uploads.github.com", "stream"),
        ("codeload.github.com", "stream"),
        ("gist.github.com", "stream"),
        ("raw.githubusercontent.com", "stream"),
        ("objects.githubusercontent.com", "stream"),
        ("release-assets.githubusercontent.com", "stream"),
        ("pipelinesghubeus1.actions.githubusercontent.com", "stream"),
        ("productionresultssa12.blob.core.windows.net", "stream"),
        ("ghcr.io", "stream"),
        ("example.com", None),
        ("mine.blob.core.windows.net", None),
        ("github.com.example.com", None),
        ("evilgithub.com", None),
        ("example.com/.github.com", None),
        ("github.com:443", None),
        ("github.com\n", None),
        ("", None),
        ("localhost", None),
    ],
)
def test_kind(host: str, expected: str | None) -> None:
    assert hosts.kind(host) == expected


@given(st.text())
def test_any_host_is_judged(host: str) -> None:
    assert hosts.kind(host) in {"api", "stream", None}
