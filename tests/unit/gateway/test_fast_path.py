from collections.abc import Callable

import pytest

from p2pcache.cache.buckets import Buckets
from p2pcache.cache.entry import CID_PREFIX, Block, Entry, Pointer
from p2pcache.cache.memory import Memory
from p2pcache.cache.wanted import Wanted
from p2pcache.gateway import fast_path
from p2pcache.gateway.fast_path import FastPath, key_of
from p2pcache.gateway.respond import View, show
from p2pcache.gateway.routing import Upstreams
from p2pcache.github.quota import Bucket
from p2pcache.github.request import Lifetime, Read, Request, Resource
from p2pcache.ledger.ledger import Ledger

HEADERS = [(b"host", b"api.github.com"), (b"authorization", b"token x"), (b"user-agent", b"gh")]


class World:
    """Memory with one entry, and what stands in front of it."""

    def __init__(self) -> None:
        self.now = 110.0
        self.memory = Memory(1 << 20)
        self.buckets = Buckets(lambda: self.now)
        self.ledger = Ledger(lambda: self.now)
        self.hot = FastPath(self.memory, self.buckets, self.ledger, lambda: self.now)
        self.entry = self.keep(b'{"url":"https://api.github.com/x"}')

    def keep(self, body: bytes) -> Entry:
        pointer = Pointer(
            name=b"n" * 32,
            scope=b"s" * 16,
            cid=CID_PREFIX + b"c" * 32,
            etag='"e"',
            last_modified=None,
            link=None,
            lifetime="normal",
            proved_at=100.0,
            expires_at=160.0,
            cost_ms=50,
            size=1,
            by="",
            topics=(b"t" * 16,),
        )
        entry = Entry(pointer, Block(200, (("content-type", "application/json"),), body))
        self.memory.put(entry)
        return entry

    def remember(
        self,
        view: View = View(),  # noqa: B008 - a value
        headers: list[tuple[bytes, bytes]] = HEADERS,
        url: bytes = b"/x",
        tag: str | None = '"e"',
    ) -> None:
        shown = show(self.entry, view, tag, self.memory, Upstreams("https://api.github.com"))
        read = Read(Resource("/x"), Lifetime.NORMAL, "GET /x", ())
        wanted = Wanted.__new__(Wanted)
        for name, value in {
            "read": read,
            "request": Request("GET", "/x"),
            "bucket": "token:1",
            "quota": "core",
        }.items():
            object.__setattr__(wanted, name, value)
        key = key_of(url, headers)
        assert key is not None
        self.hot.remember(key, self.entry, wanted, shown)

    def hit(self) -> tuple[bytes, bytes]:
        """The prepared answer, which there is."""
        answer = self.hot.answer(b"/x", HEADERS)
        assert answer is not None
        return answer


@pytest.fixture
def world() -> World:
    return World()


def test_an_answer_stands_ready(world: World) -> None:
    world.buckets.learn("token:1", Bucket("core", 1000, 990, 200))
    world.remember()
    head, body = world.hit()
    text = head.decode()
    assert text.startswith("HTTP/1.1 200 OK\r\n")
    assert text.endswith("\r\n\r\n")
    for line in (
        "age: 10",
        "cache-status: p2pcache; hit; ttl=50; detail=memory",
        "x-ratelimit-remaining: 990",
        'etag: "e"',
    ):
        assert f"\r\n{line}\r\n" in text
    assert body is world.entry.block.body
    stats = world.ledger.stats()
    assert (stats["hits"]["memory"], stats["time_saved_ms"], stats["requests"]) == (1, 50, 1)


def test_a_clock_that_was_set_back_gives_no_negative_age(world: World) -> None:
    world.remember()
    world.now = 90.0
    assert b"\r\nage: 0\r\n" in world.hit()[0]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda w: setattr(w, "now", 160.0), id="expired"),
        pytest.param(lambda w: w.memory.drop([b"t" * 16]), id="dropped"),
        pytest.param(lambda w: w.memory.clear(), id="evicted"),
        pytest.param(lambda w: w.hot.clear(), id="the secret was rotated"),
        pytest.param(lambda w: w.keep(b"new"), id="replaced"),
    ],
)
def test_what_is_over_is_not_answered_with(world: World, change: Callable[[World], object]) -> None:
    world.remember()
    change(world)
    assert world.hot.answer(b"/x", HEADERS) is None
    assert not world.hot._prepared


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param((b"authorization", b"token y"), id="another token"),
        pytest.param((b"accept", b"text/plain"), id="another media type"),
        pytest.param((b"host", b"127.0.0.1"), id="a second host"),
        pytest.param((b"x-github-api-version", b"2022-11-28"), id="a version"),
        pytest.param((b"accept-encoding", b"gzip"), id="a coding"),
        *(
            pytest.param((name, b"x"), id=name.decode())
            for name in (
                b"cookie",
                b"if-modified-since",
                b"traceparent",
                b"x-http-method-override",
                b"range",
                b"expect",
                b"cache-control",
                b"content-length",
                b"upgrade",
            )
        ),
    ],
)
def test_a_request_that_differs_takes_the_long_way(world: World, changed: tuple[bytes, bytes]) -> None:
    world.remember()
    headers = [line for line in HEADERS if line[0] != changed[0] or changed[0] == b"host"] + [changed]
    assert world.hot.answer(b"/x", headers) is None
    assert world.hot.answer(b"/x?", HEADERS) is None
    for harmless in (b"accept-language", b"x-trace-id", b"dnt", b"priority"):
        assert world.hot.answer(b"/x", [*HEADERS, (harmless, b"de")])


@pytest.mark.parametrize("field", [b"x-github-next-global-id", b"graphql-features", b"x-requested-with", b"p2pcache-x"])
def test_what_githubs_answer_depends_on_takes_the_long_way(world: World, field: bytes) -> None:
    world.remember()
    assert world.hot.answer(b"/x", [*HEADERS, (field, b"1")]) is None


@pytest.mark.parametrize(
    ("condition", "answered"),
    [(b'"e"', True), (b'W/"e"', True), (b'"f"', False), (b'"f", "e"', False), (b"*", False), (b"", False)],
)
def test_a_client_that_has_it_is_told_so(world: World, condition: bytes, answered: bool) -> None:
    world.remember()
    answer = world.hot.answer(b"/x", [*HEADERS, (b"if-none-match", condition)])
    assert (answer is not None) is answered
    if answer:
        head, body = answer
        assert (head.startswith(b"HTTP/1.1 304 Not Modified\r\n"), body) == (True, b"")
        assert b"content-length" not in head
        assert b'\r\netag: "e"\r\n' in head
    assert world.hit()[1] == world.entry.block.body


def test_an_answer_without_a_tag_is_given_whole(world: World) -> None:
    world.remember(tag=None)
    assert world.hot.answer(b"/x", [*HEADERS, (b"if-none-match", b"")]) is None


def test_what_was_asked_with_a_condition_stands_ready_without_one(world: World) -> None:
    world.remember(headers=[*HEADERS, (b"if-none-match", b'"old"')])
    assert world.hit()[1] == world.entry.block.body


@pytest.mark.parametrize("view", [View("http://gw:1"), View(gzip=True), View("http://gw:1", gzip=True)])
def test_a_variant_is_answered_with_as_long_as_memory_holds_it(world: World, view: View) -> None:
    world.entry = world.keep(b'{"url":"https://api.github.com/x","t":"' + b"t" * 2000 + b'"}')
    world.remember(view)
    (variant,) = world.entry.variants.values()
    assert world.hit()[1] is variant


def test_a_variant_that_memory_did_not_take_is_not_kept_alive(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.memory, "grow", lambda *_: False)
    world.remember(View("http://gw:1"))
    assert world.hot.answer(b"/x", HEADERS) is None


def test_it_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_path, "MAX_PREPARED", 3)
    for n in range(10):
        world.remember(url=b"/%d" % n)
        assert len(world.hot._prepared) <= 3
    assert world.hot.answer(b"/9", HEADERS)
    world.remember(headers=[(b"authorization", b"x" * fast_path.MAX_KEY)])
    assert world.hot.answer(b"/x", [(b"authorization", b"x" * fast_path.MAX_KEY)]) is None
