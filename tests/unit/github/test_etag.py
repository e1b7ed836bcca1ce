from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.github import etag


def sha(text: str) -> str:
    return f'"{hashlib.sha256(text.encode()).hexdigest()}"'


ALL = etag.HASHED
JWT = "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOjF9.c2ln-_"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("headers", "vary", "hashed"),
    [
        pytest.param({}, None, "BODY", id="nothing but the body"),
        pytest.param({"accept": "*/*"}, None, "*/*:BODY", id="accept"),
        pytest.param({"authorization": "Bearer x"}, None, "Bearer x:BODY", id="a token"),
        pytest.param(
            {"cookie": "c=1", "authorization": "Bearer x", "accept": "*/*", "user-agent": "me"},
            None,
            "*/*:Bearer x:c=1:BODY",
            id="all, in this order",
        ),
        pytest.param({"accept": "*/*", "cookie": "c=1"}, None, "*/*:BODY", id="an anonymous caller's Accept alone"),
        pytest.param({"accept": "*/*", "authorization": JWT}, None, "*/*:BODY", id="an App's JWT is not in it"),
        pytest.param(
            {"accept": "*/*", "authorization": "Bearer ghs_12_eyJh.eyJp.c2ln"},
            None,
            "*/*:Bearer ghs_12_eyJh.eyJp.c2ln:BODY",
            id="an installation token that holds a JWT is",
        ),
        pytest.param(
            {"accept": "*/*", "authorization": basic("Iv1.8a61f9b3a7aba766", "s")},
            None,
            "*/*:BODY",
            id="nor an OAuth app",
        ),
        pytest.param({"authorization": basic("0" * 20, "1" * 40)}, None, "BODY", id="nor an older one"),
        pytest.param({"authorization": basic("mona", "ghp_1")}, None, basic("mona", "ghp_1") + ":BODY", id="a user is"),
        pytest.param({"authorization": "Basic %"}, None, "Basic %:BODY", id="what is no Basic is as it is"),
        pytest.param({"accept": "*/*", "authorization": "Bearer x"}, ("accept",), "*/*:BODY", id="Vary decides"),
        pytest.param({"accept": "*/*", "authorization": JWT}, ALL, f"*/*:{JWT}:BODY", id="both ways"),
        pytest.param({"accept": "*/*", "authorization": "Bearer x"}, (), "BODY", id="Vary names nothing"),
    ],
)
def test_what_is_hashed(headers: dict[str, str], vary: etag.Vary | None, hashed: str) -> None:
    assert etag.tags(headers, vary, "application/json", b"BODY") == (sha(hashed),)


@pytest.mark.parametrize(
    ("empty_accept", "hashed"),
    [(None, [":token x:BODY", "token x:BODY"]), (True, [":token x:BODY"]), (False, ["token x:BODY"])],
)
def test_an_empty_accept_has_two_forms_until_one_is_known(empty_accept: bool | None, hashed: list[str]) -> None:
    headers = {"accept": "", "authorization": "token x"}
    tags = etag.tags(headers, None, "application/json", b"BODY", empty_accept=empty_accept)
    assert list(tags) == [sha(each) for each in hashed]


@pytest.mark.parametrize(
    ("content_type", "body", "rendering"),
    [
        ("application/json; charset=utf-8", b'{"a":"\xc3\xa9"}', b'{"a":"\xc3\xa9"}'),
        ("application/vnd.github.raw+json; charset=utf-8", b"\xff\x00", b"\xff\x00"),
        ("", b"[]", b"[]"),
        ("application/vnd.github.diff; charset=utf-8", 'a"\n<é>\t\\'.encode(), '"a\\"\\n<é>\\t\\\\"'.encode()),
        ("application/vnd.github.v3.patch; charset=utf-8", b"x", b'"x"'),
        ("application/vnd.github.patch", b"\xff", None),
        ("application/json", b'"x"', None),
    ],
)
def test_what_is_hashed_of_a_body(content_type: str, body: bytes, rendering: bytes | None) -> None:
    assert etag.rendered(content_type, body) == rendering
    assert len(etag.tags({}, None, content_type, body)) == (rendering is not None)


TYPES = st.sampled_from(["application/json", "application/vnd.github.diff", "application/vnd.github.patch; charset=x"])
SENT = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(["", "*/*", "token x", JWT]) for name in ("accept", "authorization", "cookie")}
)
VARIES = st.none() | st.sampled_from([(), ("accept",), ALL])


@given(SENT, VARIES, TYPES, st.binary() | st.text().map(str.encode), TYPES, st.binary() | st.text().map(str.encode))
def test_no_tag_could_match_other_bytes(
    headers: dict[str, str], vary: etag.Vary | None, one_type: str, one: bytes, other_type: str, other: bytes
) -> None:
    first, second = etag.tags(headers, vary, one_type, one), etag.tags(headers, vary, other_type, other)
    assert one == other or not set(first) & set(second)


def test_nor_those_that_an_empty_accept_would_lead_into() -> None:
    assert etag.tags({"accept": ""}, None, "application/json", b":[]") == ()


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        (None, None),
        ("*", None),
        ("Accept, *", None),
        ("", ()),
        ("Accept-Encoding", ()),
        ("Accept, Accept-Encoding, X-Requested-With", ("accept",)),
        ("cookie,AUTHORIZATION , Accept, X-GitHub-OTP", ALL),
    ],
)
def test_vary(vary: str | None, expected: etag.Vary | None) -> None:
    assert etag.vary_of({} if vary is None else {"vary": vary}) == expected


def test_a_blob_is_named_as_git_names_it() -> None:
    assert etag.blob_tag(b"hello\n") == '"ce013625030ba8dba906f756967f9e9ca394464a"'
    assert etag.blob_tag(b"") == '"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"'


@pytest.mark.parametrize(
    ("tag", "digest", "object_id"),
    [
        (f'"{"a" * 64}"', True, False),
        (f'W/"{"a" * 64}" ', True, False),
        (f'"{"a" * 40}"', False, True),
        (f'W/"{"a" * 40}"', False, True),
        (f'"{"g" * 64}"', False, False),
        ('"abc"', False, False),
        (f'"{"A" * 40}"', False, False),
    ],
)
def test_forms_of_tags(tag: str, digest: bool, object_id: bool) -> None:
    assert (etag.is_digest(tag), etag.is_object_id(tag)) == (digest, object_id)
    assert not etag.is_object_id(None)


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ('"x"', '"x"', True),
        ('W/"x"', '"x"', True),
        ('"x"', ' W/"x"', True),
        ('"x"', '"y"', False),
        ('"x"', '"X"', False),
    ],
)
def test_weakly_equal(a: str, b: str, equal: bool) -> None:
    assert etag.weakly_equal(a, b) is equal


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ("", ()),
        ('"a"', ('"a"',)),
        ('W/"a", "b,c" ,"d"', ('W/"a"', '"b,c"', '"d"')),
        ("*", ("*",)),
        ("bare", ()),
        ('"a b"', ()),
        ('""', ('""',)),
    ],
)
def test_parse_tags(value: str, tags: tuple[str, ...]) -> None:
    assert etag.parse_tags(value) == tags


@given(SENT, st.binary())
def test_a_computed_tag_is_one_tag(headers: dict[str, str], body: bytes) -> None:
    for tag in etag.tags(headers, None, "application/json", body):
        assert etag.parse_tags(f"W/{tag}, {tag}") == (f"W/{tag}", tag)
