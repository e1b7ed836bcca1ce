"""Where a job is led without the cache, and whether it fails instead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from p2pcache.runner import direct

ROOT = Path(__file__).parents[3]
GITHUB = ("https://api.github.com", "https://api.github.com/graphql")
GHES = ("https://ghes.example/api/v3", "https://ghes.example/api/graphql")


@pytest.mark.parametrize(
    ("upstream", "runners", "expected"),
    [
        ("", "", GITHUB),
        ("", "https://ghes.example/api/v3", GHES),
        ("https://ghes.example/api/v3/", "", GHES),
        (" http://127.0.0.1:8080 ", "", ("http://127.0.0.1:8080", "http://127.0.0.1:8080/graphql")),
        ("http://[::1]:80", "", ("http://[::1]:80", "http://[::1]:80/graphql")),
    ]
    + [
        (wrong, runners, expected)
        for wrong in (
            "foo", "ghe.example/api/v3", "ftp://x", "https://", "https:///x", "http://[x", "http://x:port", "http://x:0",
            "http://x\nPATH=/evil", "http://a b", "https://user:password@x", "https://x?y", "https://x#y",
        )
        for runners, expected in (("", GITHUB), ("https://ghes.example/api/v3", GHES))
    ],
)  # fmt: skip
def test_where_it_leads(upstream: str, runners: str, expected: tuple[str, str]) -> None:
    assert direct.addresses({"INPUT_UPSTREAM": upstream, "GITHUB_API_URL": runners}) == expected


@pytest.mark.parametrize(
    ("said", "strict"),
    [("", False), ("false", False), ("False", False), (" FALSE ", False), ("true", True), ("yes", True), ("0", True)],
)
def test_what_is_strict(said: str, strict: bool) -> None:
    assert direct.strict({"INPUT_STRICT": said}) is strict


def test_nothing_is_strict_by_itself() -> None:
    assert not direct.strict({})


def test_it_needs_nothing_installed() -> None:
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import p2pcache.runner.direct"
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True, timeout=30)
