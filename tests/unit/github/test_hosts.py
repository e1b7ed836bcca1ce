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


@pytest.mark.parametrize(
    "host", ["ghe.example", "GHE.Example", "octo.ghe.com", "github", "1.a", "xn--bcher-kva.example"]
)
def test_names_of_servers(host: str) -> None:
    assert hosts.names_a_server(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "a.", ".a", "-a", "a-", "a_b", "a b", "127.0.0.1", "127.1", "0x7f.1", "1", "a.0x7f", "a.5", "::1"),
        *("localhost", "LOCALHOST", "a.localhost", "ip6-loopback", "localhost.localdomain", "a\n", "a/b", "a" * 64),
    ],
)
def test_what_names_no_server(host: str) -> None:
    assert not hosts.names_a_server(host)


@given(st.text())
def test_any_host_is_judged(host: str) -> None:
    assert hosts.kind(host) in {"api", "stream", None}
