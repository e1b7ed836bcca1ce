from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.gateway import head


@pytest.mark.parametrize(
    ("line", "stands"),
    [
        ((b"etag", b'W/"x"'), True),
        ((b"link", b"<a>; rel=\tb"), True),
        ((b"x", b""), True),
        ((b"x", "é".encode()), True),
        ((b"link", b"<a>\r\nset-cookie: b"), False),
        ((b"link", b"a\nb"), False),
        ((b"x", b"\x00"), False),
        ((b"x: y", b"z"), False),
        ((b"x\r\ny", b"z"), False),
        ((b"", b"z"), False),
        ((b"X", b"z"), False),
    ],
)
def test_what_is_no_header_line_is_left_out(line: head.Line, stands: bool) -> None:
    assert head.clean([line]) == ([line] if stands else [])
    assert head.render([line]) == (b"%b: %b\r\n" % line if stands else b"")


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20))))
def test_a_line_is_one_line(lines: list[head.Line]) -> None:
    assert head.render(lines).count(b"\n") == head.render(lines).count(b"\r\n") == len(head.clean(lines))


def test_cache_status() -> None:
    assert head.cache_status("hit", "ttl=4", "detail=peer") == (b"cache-status", b"p2pcache; hit; ttl=4; detail=peer")


def test_a_last_answer_is_whole_and_ends_the_connection() -> None:
    start, _, body = head.last_answer(503, 'too "busy"', "detail=refused").partition(b"\r\n\r\n")
    status, *lines = start.split(b"\r\n")
    assert status == b"HTTP/1.1 503 Service Unavailable"
    assert b"connection: close" in lines
    assert b"cache-status: p2pcache; detail=refused" in lines
    assert b"content-length: %d" % len(body) in lines
    assert json.loads(body) == {"message": 'p2pcache: too "busy"'}
