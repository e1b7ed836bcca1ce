"""A job's request for a token."""

from __future__ import annotations

import pytest

from p2pcache.github.id_token import TOKEN_CHARACTERS, audience, request_url, token_of


def test_the_audience_names_both_ends() -> None:
    assert audience("12D3Hub", "12D3Me") == "p2pcache:12D3Hub:12D3Me"


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        (
            "https://run.actions.example/1//idtoken/a/b?api-version=2.0",
            "https://run.actions.example/1//idtoken/a/b?api-version=2.0&audience=p2pcache%3Aa%3Ab",
        ),
        ("https://h/token", "https://h/token?audience=p2pcache%3Aa%3Ab"),
        ("https://h/token?audience=other&x=", "https://h/token?x=&audience=p2pcache%3Aa%3Ab"),
    ],
)
def test_the_audience_is_added_to_the_runners_query(url: str, asked: str) -> None:
    assert request_url(url, audience("a", "b")) == asked


def test_the_answer() -> None:
    assert token_of(b'{"count": 2000, "value": "a.b.c"}') == "a.b.c"


LONG = b"x" * (TOKEN_CHARACTERS + 1)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b"{}", b'{"value": ""}', b'{"value": 7}', '{"value": "ä"}'.encode()),
        b'{"value": "' + LONG + b'"}',
    ],
)
def test_an_answer_without_a_token(body: bytes) -> None:
    with pytest.raises(ValueError):
        token_of(body)
