import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.cache.upstream import UpstreamError
from p2pcache.gateway import http_upstream as ways
from p2pcache.gateway.http_upstream import HttpUpstream, inflated
from p2pcache.gateway.routing import Upstreams
from p2pcache.github import quota
from p2pcache.github.request import Request


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def unpack(data: bytes, size: int = 1000) -> bytes:
    return b"".join([piece async for piece in inflated(pieces(data, size))])


@given(body=st.binary(max_size=5000), more=st.binary(max_size=100), size=st.integers(1, 3000))
async def test_what_was_packed_comes_out(body: bytes, more: bytes, size: int) -> None:
    assert await unpack(gzip.compress(body) + gzip.compress(more), size) == body + more


async def test_no_body_is_no_broken_one() -> None:
    assert await unpack(b"") == b""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"plain", "not the gzip"),
        (gzip.compress(b"x" * 100)[:-9], "ended before"),
        (zlib.compress(b"x"), "not the gzip"),
    ],
    ids=["plain", "half", "zlib"],  # what gzip makes tells the time, and workers must agree on names
)
async def test_what_is_no_gzip(data: bytes, said: str) -> None:
    with pytest.raises(UpstreamError, match=said):
        await unpack(data)


async def test_a_small_body_that_unpacks_to_a_large_one_comes_in_pieces() -> None:
    sizes = [len(piece) async for piece in inflated(pieces(gzip.compress(bytes(20 << 20)), 1 << 16))]
    assert sum(sizes) == 20 << 20
    assert max(sizes) <= ways.STEP


def of(url: str = "https://api.github.com") -> HttpUpstream:
    return HttpUpstream(Upstreams(url), "1.0", lambda *_: None)


@pytest.mark.parametrize(
    ("upstream", "target", "url"),
    [
        ("https://api.github.com", "/zen?x", "https://api.github.com/zen?x"),
        ("https://api.github.com", "/graphql", "https://api.github.com/graphql"),
        ("https://ghe/api/v3", "/zen", "https://ghe/api/v3/zen"),
        ("https://ghe/api/v3", "/graphql?x", "https://ghe/api/graphql?x"),
        ("https://ghe/api/v3", "/graphql/x", "https://ghe/api/v3/graphql/x"),
    ],
)
def test_where_a_target_is(upstream: str, target: str, url: str) -> None:
    assert of(upstream).api_url(target) == url


async def test_a_gateway_that_is_not_open_says_so() -> None:
    with pytest.raises(UpstreamError, match="shutting down"):
        await of().send("GET", "https://api.github.com/", [], None)


async def test_a_token_has_its_places_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "MAX_CONCURRENT", 2)
    monkeypatch.setattr(ways, "CREDENTIALS", 3)
    upstream = of()
    upstream.deadlines = ways.Deadlines(idle=0.05)
    first = await upstream._place("one")
    await upstream._place("one")
    await upstream._place("two")
    with pytest.raises(ways.UpstreamTimeoutError, match="wait for GitHub already"):
        await upstream._place("one")
    first.release()
    await upstream._place("one")
    for name in ("three", "four", "five"):
        await upstream._place(name)
    assert len(upstream._places) == 3


def test_a_raw_file_is_asked_of_the_server_of_raw_files() -> None:
    assert of().url(Request("GET", "/o/r/HEAD/a", raw=True)) == "https://raw.githubusercontent.com/o/r/HEAD/a"
    assert of().url(Request("GET", "/raw/o/r/HEAD/a")) == "https://api.github.com/raw/o/r/HEAD/a"
