import gzip
import json

import pytest

from p2pcache.cache.answer import Cached
from p2pcache.cache.decide import Rule
from p2pcache.cache.entry import CID_PREFIX, Block, Entry, Pointer
from p2pcache.cache.memory import Memory
from p2pcache.gateway.respond import (
    Shown,
    View,
    accepts_gzip,
    cache_status,
    not_modified,
    show,
    weakened,
    with_github,
    without_body,
)
from p2pcache.gateway.routing import Upstreams

GITHUB = Upstreams("https://api.github.com")
BODY = json.dumps({"url": "https://api.github.com/repos/o/r", "text": "x" * 2000}).replace(": ", ":").encode()
TAG = '"a1"'
DATE = "Mon, 01 Jan 2024 00:00:00 GMT"


def entry(
    body: bytes = BODY,
    kind: str = "application/json; charset=utf-8",
    *,
    status: int = 200,
    etag: str = TAG,
    expires: float = 160.0,
    **headers: str,
) -> Entry:
    pointer = Pointer(
        name=b"n" * 32,
        scope=b"s" * 16,
        cid=CID_PREFIX + b"c" * 32,
        etag=etag,
        last_modified=DATE,
        link='<https://api.github.com/repos/o/r/issues?page=2>; rel="next"',
        lifetime="normal",
        proved_at=100.0,
        expires_at=expires,
        cost_ms=1,
        size=1,
        by="",
        topics=(),
    )
    return Entry(pointer, Block(status, (("content-type", kind), *headers.items()), body))


PLAIN = View()


def shown(made: Entry, view: View = PLAIN, memory: Memory | None = None) -> Shown:
    memory = Memory(1 << 20) if memory is None else memory
    memory.put(made)
    return show(made, view, TAG, memory, GITHUB)


def lines(made: Shown) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in made.lines}


def test_by_githubs_name_nothing_is_changed() -> None:
    made = shown(entry())
    assert made.body == BODY
    assert lines(made)["link"].startswith("<https://api.github.com/")
    assert lines(made)["etag"] == TAG
    assert lines(made)["content-length"] == str(len(BODY))
    assert lines(made)["date"] == "Thu, 01 Jan 1970 00:01:40 GMT"


def test_by_the_gateways_name_urls_lead_to_it() -> None:
    made = shown(entry(location="https://api.github.com/repositories/1"), View(base="http://gw:1"))
    assert json.loads(made.body)["url"] == "http://gw:1/repos/o/r"
    assert lines(made)["link"].startswith("<http://gw:1/repos/o/r/issues")
    assert lines(made)["location"] == "http://gw:1/repositories/1"
    assert lines(made)["etag"] == f"W/{TAG}"


def test_other_than_json_is_left_alone() -> None:
    made = shown(entry(b"https://api.github.com/", "text/plain"), View(base="http://gw:1", gzip=True))
    assert made.body == b"https://api.github.com/"
    assert "content-encoding" not in lines(made)


@pytest.mark.parametrize(("size", "packed"), [(1023, False), (1024, True), (256 << 10, True), (257 << 10, False)])
def test_bodies_worth_it_are_packed(size: int, packed: bool) -> None:
    made = shown(entry(b"[" + b" " * (size - 2) + b"]"), View(gzip=True))
    assert ("content-encoding" in lines(made)) is packed
    body = gzip.decompress(made.body) if packed else made.body
    assert len(body) == size


def test_a_variant_is_made_once_while_memory_holds_the_entry() -> None:
    memory, made = Memory(1 << 20), entry()
    first = shown(made, View(gzip=True), memory=memory)
    assert show(made, View(gzip=True), TAG, memory, GITHUB).body is first.body
    memory.clear()
    made.variants.clear()
    assert show(made, View(gzip=True), TAG, memory, GITHUB).body is not first.body
    assert not made.variants


@pytest.mark.parametrize(
    ("header", "acceptable"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("x-gzip", True),
        ("br, GZIP;q=0.1", True),
        ("gzip; q=0", False),
        ("gzip;q=0.000", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0, gzip", True),
        ("gzip;q=much", False),
        ("identity", False),
    ],
)
def test_who_accepts_gzip(header: str | None, acceptable: bool) -> None:
    assert accepts_gzip(header) is acceptable


@pytest.mark.parametrize(
    ("match", "since", "same"),
    [
        (None, None, False),
        (TAG, None, True),
        (f"W/{TAG}", None, True),
        ('"other", W/"a1"', None, True),
        ("*", None, True),
        ('"other"', DATE, False),
        (None, DATE, True),
        (None, "Tue, 02 Jan 2024 00:00:00 GMT", True),
        (None, "Sun, 31 Dec 2023 00:00:00 GMT", False),
        (None, "yesterday", False),
    ],
)
def test_who_holds_it_already(match: str | None, since: str | None, same: bool) -> None:
    assert not_modified(shown(entry()), match, since) is same


def test_a_redirect_is_never_not_modified() -> None:
    assert not not_modified(shown(entry(status=301)), "*")


@pytest.mark.parametrize(
    ("kept", "now", "said"),
    [
        (Cached(entry(), Rule.FRESH, "memory"), 120.5, "p2pcache; hit; ttl=39; detail=memory"),
        (Cached(entry(), Rule.STALE_FOR_ERROR, "stale", stale=True), 160.5, "p2pcache; hit; ttl=-1; detail=stale"),
        (
            Cached(entry(), Rule.FETCH_COLD, None, 200, stored=True),
            100,
            "p2pcache; fwd=uri-miss; fwd-status=200; stored",
        ),
        (Cached(entry(), Rule.PROVE_OWN, None, 200), 100, "p2pcache; fwd=stale; fwd-status=200"),
        (Cached(entry(), Rule.PROVE_OTHER, None, 200), 100, "p2pcache; fwd=uri-miss; fwd-status=200"),
    ],
)
def test_cache_status(kept: Cached, now: float, said: str) -> None:
    assert cache_status(kept, now) == (b"cache-status", said.encode())


def test_with_github_its_lines_come_along_and_the_bodys_stay_ours() -> None:
    github = [
        (b"date", b"now"),
        (b"etag", b'"of other bytes"'),
        (b"content-encoding", b"gzip"),
        (b"content-type", b"text/html"),
        (b"cache-control", b"private"),
        (b"x-oauth-scopes", b"repo"),
    ]
    found = with_github(shown(entry()), github)
    assert (b"x-oauth-scopes", b"repo") in found
    assert (b"content-encoding", b"gzip") not in found
    names = [name for name, _ in found]
    assert len(names) == len(set(names))
    as_text = dict(found)
    assert as_text[b"date"] == b"now"
    assert as_text[b"cache-control"] == b"private"
    assert as_text[b"etag"] == TAG.encode()
    assert as_text[b"content-type"].startswith(b"application/json")


def test_lines_of_a_304_and_of_a_changed_body() -> None:
    assert {name for name, _ in without_body(shown(entry()).lines)} >= {b"etag", b"date", b"cache-control", b"vary"}
    assert weakened([(b"etag", b'"x"'), (b"a", b"b")]) == [(b"etag", b'W/"x"'), (b"a", b"b")]
    assert weakened([(b"etag", b'W/"x"')]) == [(b"etag", b'W/"x"')]
