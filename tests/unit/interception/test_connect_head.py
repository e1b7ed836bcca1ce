"""The heads by which tunnels are asked for, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.interception import connect_head
from p2pcache.interception.connect_head import TunnelTarget

API = TunnelTarget("api.github.com", 443)


@pytest.mark.parametrize(
    ("head", "target"),
    [
        (b"CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\n\r\n", API),
        (b"CONNECT api.github.com:443 HTTP/1.0\r\n\r\n", API),  # so asks Python 3.11
        (b"CONNECT API.GitHub.com:443 HTTP/1.1\r\nUser-Agent: x\r\n\r\n", API),
        (b"CONNECT [2606:50C0::153]:8443 HTTP/1.1\r\n\r\n", TunnelTarget("2606:50c0::153", 8443)),
        (b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n", TunnelTarget("127.0.0.1", 1)),
        (b"CONNECT a_b.example:65535 HTTP/1.1\r\n\r\n", TunnelTarget("a_b.example", 65535)),
    ],
)
def test_a_target_is_read(head: bytes, target: TunnelTarget) -> None:
    assert connect_head.parse(head) == target


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1",
        b"GET https://api.github.com/ HTTP/1.1",
        b"connect api.github.com:443 HTTP/1.1",
        b"CONNECT api.github.com HTTP/1.1",
        b"CONNECT api.github.com: HTTP/1.1",
        b"CONNECT :443 HTTP/1.1",
        b"CONNECT api.github.com:0 HTTP/1.1",
        b"CONNECT api.github.com:65536 HTTP/1.1",
        b"CONNECT api.github.com:4430000 HTTP/1.1",
        b"CONNECT user@api.github.com:443 HTTP/1.1",
        b"CONNECT https://api.github.com:443 HTTP/1.1",
        b"CONNECT api.github.com:443/x HTTP/1.1",
        b"CONNECT api.github.com:443 HTTP/2",
        b"CONNECT  api.github.com:443 HTTP/1.1",
        b"CONNECT [::1:443 HTTP/1.1",
        b"CONNECT fe80::1%eth0:443 HTTP/1.1",
        b"CONNECT \xfcber.example:443 HTTP/1.1",
        b"CONNECT a:1\nb:2 HTTP/1.1",
        b"",
    ],
)
def test_what_names_no_target_has_none(line: bytes) -> None:
    assert connect_head.parse(line + b"\r\nHost: x\r\n\r\n") is None


@given(st.binary(max_size=100).map(lambda rest: b"CONNECT " + rest) | st.binary(max_size=100))
def test_any_bytes_name_a_target_that_can_be_asked_for_or_none(head: bytes) -> None:
    target = connect_head.parse(head)
    if target is not None:
        assert connect_head.parse(connect_head.request(target, {})) == target


def test_a_request_carries_the_proxys_password() -> None:
    sent = connect_head.request(TunnelTarget("2606::1", 443), {"Proxy-Authorization": "Basic eA=="})
    assert sent == b"CONNECT [2606::1]:443 HTTP/1.1\r\nHost: [2606::1]:443\r\nProxy-Authorization: Basic eA==\r\n\r\n"


@pytest.mark.parametrize("reason", ["only CONNECT is served here", "ü", "漢"])
def test_an_answer_is_one_that_a_client_can_read(reason: str) -> None:
    head, _, body = connect_head.answer(405, reason).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert body.decode() == f"p2pcache: {reason}\n"


@pytest.mark.parametrize(
    ("head", "opens"),
    [
        (b"HTTP/1.1 200 Connection established\r\n\r\n", True),
        (b"HTTP/1.0 200\r\n\r\n", True),
        (b"HTTP/1.1 204 x\r\n\r\n", True),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", False),
        (b"HTTP/1.1 2000 x\r\n\r\n", False),
        (b"HTTP/2 200\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH\r\n\r\n", False),
    ],
)
def test_only_a_good_answer_opens_a_tunnel(head: bytes, opens: bool) -> None:
    assert connect_head.is_established(head) == opens
    assert connect_head.is_established(connect_head.ESTABLISHED)
