from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.github.tokens import basic_pair, token_in, token_kind


@given(st.text())
def test_any_authorization_is_read(authorization: str) -> None:
    token = token_in(authorization)
    assert token is None or token


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("ghp_x", "personal"),
        ("github_pat_x", "personal"),
        ("gho_x", "oauth"),
        ("ghu_x", "app_user"),
        ("ghs_x", "installation"),
        ("v1.0123", "unknown"),
        ("", "unknown"),
    ],
)
def test_token_kind(token: str, kind: str) -> None:
    assert token_kind(token) == kind


@pytest.mark.parametrize(
    ("encoded", "pair"),
    [
        pytest.param("b2N0bzpzZWNyZXQ=", ("octo", "secret"), id="both"),
        pytest.param(" b2N0bw== ", ("octo", ""), id="no colon"),
        pytest.param("YTpiOmM=", ("a", "b:c"), id="a colon in the password"),
        pytest.param("!", ("", ""), id="no base64"),
        pytest.param("/w==", ("", ""), id="no text"),
    ],
)
def test_basic_credentials(encoded: str, pair: tuple[str, str]) -> None:
    assert basic_pair(encoded) == pair
