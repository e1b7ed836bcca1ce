from __future__ import annotations

import hashlib

import pytest

from p2pcache.testing.etag import entity_tag, matches


@pytest.mark.parametrize(
    ("headers", "hashed"),
    [
        pytest.param([], "body", id="no header: the body alone"),
        pytest.param([("Authorization", "token a"), ("Accept", "x/y")], "x/y:token a:body", id="Accept goes first"),
        pytest.param([("accept", "")], ":body", id="an empty header is present"),
        pytest.param([("Cookie", "c=1"), ("User-Agent", "me")], "c=1:body", id="other headers do not count"),
        pytest.param([("Accept", "a"), ("Accept", "b")], "a:b:body", id="each value of a repeated header"),
    ],
)
def test_tag_hashes_the_credentials_then_the_body(headers: list[tuple[str, str]], hashed: str) -> None:
    assert entity_tag(headers, b"body", token=True) == hashlib.sha256(hashed.encode()).hexdigest()


def test_without_a_token_the_accept_alone_is_hashed() -> None:
    headers = [("accept", "x/y"), ("authorization", "Bearer a.b.c"), ("cookie", "c=1")]
    assert entity_tag(headers, b"body", token=False) == hashlib.sha256(b"x/y:body").hexdigest()


def test_a_text_is_hashed_as_a_json_string() -> None:
    expected = hashlib.sha256('"<a> \\"é\\"\\n"'.encode()).hexdigest()
    assert entity_tag([], '<a> "é"\n'.encode(), token=False, text=True) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('"abc"', True),
        ('W/"abc"', True),
        ('"x", W/"abc"', True),
        ("*", True),
        ('"ab"', False),
        ("abc", False),
        ("", False),
    ],
)
def test_if_none_match_is_a_weakly_compared_list(header: str, expected: bool) -> None:
    assert matches(header, "abc") is expected
