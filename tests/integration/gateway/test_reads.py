"""Cacheable reads as clients see them: header lines, validators, codings, addresses."""

import gzip
import json
import re
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from p2pcache.cache.wanted import Wanted
from p2pcache.node import Node
from p2pcache.testing import StandIn

from .conftest import ask, connect, get

REPO = "/repos/octo/app"
ISSUES = f"{REPO}/issues?per_page=10"


async def test_a_miss_carries_githubs_own_lines(node: Node, github: StandIn) -> None:
    reply = await ask(node, get(REPO))
    assert reply.status == 200
    assert reply.headers["cache-status"] == "p2pcache; fwd=uri-miss; fwd-status=200; stored"
    assert reply.headers["x-github-request-id"]
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["cache-control"] == "private, max-age=60, s-maxage=60"
    assert int(reply.headers["x-ratelimit-remaining"]) < int(reply.headers["x-ratelimit-limit"])
    assert "age" not in reply.headers
    assert "content-encoding" not in reply.headers
    assert len(reply.body) == int(reply.headers["content-length"])


@pytest.mark.parametrize("times", [2, 3], ids=["the long way", "the short way"])
async def test_a_hit_says_so(node: Node, github: StandIn, times: int) -> None:
    first = await ask(node, get(REPO))
    for _ in range(times - 1):
        reply = await ask(node, get(REPO))
    assert len(github.calls) == 1
    assert reply.body == first.body
    assert reply.headers["cache-status"].startswith("p2pcache; hit; ttl=")
    assert reply.headers["cache-status"].endswith("; detail=memory")
    assert 0 <= int(reply.headers["age"]) < 5
    assert parsedate_to_datetime(reply.headers["date"]) is not None
    for name in ("etag", "content-type", "x-ratelimit-remaining"):
        assert reply.headers[name] == first.headers[name]


async def test_the_rule_is_told_to_who_asks(node: Node, github: StandIn) -> None:
    plain = await ask(node, get(REPO))
    asked = await ask(node, get(REPO, "P2pcache-Explain: 1"))
    assert "p2pcache-rule" not in plain.headers
    assert asked.headers["p2pcache-rule"] == "fresh"
    assert 50 <= int(asked.headers["p2pcache-ttl"]) <= 60


async def heads(node: Node, raw: bytes, count: int) -> list[bytes]:
    """The raw heads of as many answers over one connection, without what is of the moment."""
    found = []
    async with connect(node) as client:
        for _ in range(count):
            await client.send(raw)
            head = await client.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None
            await client.reader.readexactly(int(length[1]))
            found.append(re.sub(rb"(age: |ttl=|date: )[^;\r]*", rb"\1now", head))
    return found


@pytest.mark.parametrize("lines", [(), ("Accept-Encoding: gzip",)], ids=["plain", "gzip"])
async def test_both_ways_of_a_hit_give_the_same_bytes(node: Node, lines: tuple[str, ...]) -> None:
    raw = get(ISSUES, *lines)
    await ask(node, raw)
    slow, fast, again = await heads(node, raw, 3)
    assert b"; hit; " in slow
    assert fast == again
    assert sorted(slow.split(b"\r\n")) == sorted(fast.split(b"\r\n"))


@pytest.mark.parametrize("lines", [(), ("Accept-Encoding: gzip",)], ids=["plain", "gzip"])
async def test_both_ways_of_a_304_give_the_same_bytes(node: Node, github: StandIn, lines: tuple[str, ...]) -> None:
    await ask(node, get(ISSUES, *lines))
    tag = (await ask(node, get(ISSUES, *lines))).headers["etag"]  # the answer stands ready from then on
    found = []
    for more in ("Traceparent: 1", "X-Trace: 1"):  # a field that needs thought, and one that does not
        async with connect(node) as client:
            await client.send(get(ISSUES, *lines, f"If-None-Match: {tag}", more))
            head = await client.reader.readuntil(b"\r\n\r\n")
            found.append(sorted(re.sub(rb"(age: |ttl=|date: )[^;\r]*", rb"\1now", head).split(b"\r\n")))
    assert found[0] == found[1]
    assert b"HTTP/1.1 304 Not Modified" in found[0]
    assert len(github.calls) == 1


async def test_a_head_is_answered_from_what_a_get_brings_and_the_other_way_around(node: Node, github: StandIn) -> None:
    cold = await ask(node, get(ISSUES, method="HEAD"))
    assert cold.headers["cache-status"] == "p2pcache; fwd=uri-miss; fwd-status=200; stored"
    whole = await ask(node, get(ISSUES))
    slow, fast = [await ask(node, get(ISSUES, more, method="HEAD")) for more in ("Traceparent: 1", "X-Trace: 1")]
    assert [call.method for call in github.calls] == ["GET"]
    assert (slow.status, fast.status, slow.body, fast.body) == (200, 200, b"", b"")
    assert int(fast.headers["content-length"]) == len(whole.body)
    assert {**slow.headers, "date": ""} == {**fast.headers, "date": ""}
    assert fast.headers["cache-status"].startswith("p2pcache; hit; ")


async def test_a_connection_goes_on_after_a_head(node: Node) -> None:
    async with connect(node) as client:
        for method in ("HEAD", "HEAD", "GET", "HEAD", "GET"):
            await client.send(get(REPO, method=method))
            reply = await client.reply(head=method == "HEAD")
            assert (reply.status, bool(reply.body)) == (200, method == "GET")


async def test_a_head_of_what_is_not_there_has_no_body(node: Node, github: StandIn) -> None:
    async with connect(node) as client:
        for _ in range(2):
            await client.send(get(f"{REPO}/issues/999", method="HEAD"))
            assert (await client.reply(head=True)).status == 404


@pytest.mark.parametrize(
    ("target", "headers", "said"),
    [
        (REPO, (), "for GET /repos/{owner}/{repo} json"),
        (f"{REPO}/readme", ("Accept: application/vnd.github.raw+json",), "the tag is the file's git object id"),
        (f"{REPO}/readme", (), "only GitHub's own validators"),
    ],
)
async def test_what_is_believed_of_tags_is_told_to_who_asks(
    node: Node, target: str, headers: tuple[str, ...], said: str
) -> None:
    asked = await ask(node, get(target, "P2pcache-Explain: 1", *headers))
    assert said in asked.headers["p2pcache-etag-rule"]


@pytest.mark.parametrize(("target", "status"), [(REPO, 304), (f"{REPO}/commits", 200)])
async def test_a_date_is_believed_of_one_resource_and_of_no_list(node: Node, target: str, status: int) -> None:
    first = await ask(node, get(target))
    again = await ask(node, get(target, f"If-Modified-Since: {first.headers['last-modified']}"))
    assert again.status == status


async def test_what_is_between_client_and_node_is_not_sent_on(node: Node, github: StandIn) -> None:
    await ask(
        node, get(REPO, "P2pcache-Explain: 1", "Expect: 100-continue", "Connection: keep-alive, X-Hop", "X-Hop: 1")
    )
    await ask(node, get("/rate_limit", "P2pcache-Explain: 1", "Connection: X-Hop", "X-Hop: 1"))
    for call in github.calls:
        assert not {"p2pcache-explain", "expect", "x-hop"} & call.headers.keys()


async def test_a_client_that_holds_it_gets_a_304_from_the_cache(node: Node, github: StandIn) -> None:
    first = await ask(node, get(REPO))
    for line in (
        f"If-None-Match: {first.headers['etag']}",
        "If-None-Match: *",
        'If-None-Match: "x", ' + first.headers["etag"],
    ):
        reply = await ask(node, get(REPO, line))
        assert (reply.status, reply.body) == (304, b"")
        assert reply.headers["etag"] == first.headers["etag"]
        assert not {"content-length", "content-type", "content-encoding"} & reply.headers.keys()
    assert (await ask(node, get(REPO, 'If-None-Match: "other"'))).status == 200
    assert len(github.calls) == 1


async def test_a_date_validates_too(node: Node, github: StandIn) -> None:
    first = await ask(node, get(REPO))
    since = first.headers["last-modified"]
    assert (await ask(node, get(REPO, f"If-Modified-Since: {since}"))).status == 304
    assert (await ask(node, get(REPO, "If-Modified-Since: Mon, 01 Jan 1990 00:00:00 GMT"))).status == 200
    assert (await ask(node, get(REPO, "If-Modified-Since: yesterday"))).status == 200
    assert (await ask(node, get(REPO, f"If-Modified-Since: {since}", 'If-None-Match: "x"'))).status == 200


async def test_gzip_is_taken_from_github_and_offered_to_clients(node: Node, github: StandIn) -> None:
    plain = await ask(node, get(ISSUES))
    assert github.calls[0].headers["accept-encoding"] == "gzip"
    for _ in range(2):
        packed = await ask(node, get(ISSUES, "Accept-Encoding: gzip, deflate"))
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["etag"].startswith("W/")
        assert gzip.decompress(packed.body) == plain.body
    refused = await ask(node, get(ISSUES, "Accept-Encoding: gzip;q=0, *"))
    assert "content-encoding" not in refused.headers
    assert len(github.calls) == 1


async def test_by_its_own_address_the_gateway_keeps_clients_on_itself(
    node: Node, github: StandIn, client: aiohttp.ClientSession
) -> None:
    for base, layout in ((node.address, ""), (node.address, "/api/v3")):
        for _ in range(3):
            async with client.get(f"{base}{layout}{ISSUES}", headers={"authorization": "token ghp_reader"}) as answer:
                body = await answer.json()
                assert f"<{base}{layout}/" in answer.headers["link"]
                assert "api.github.com" not in answer.headers["link"]
                assert body[0]["url"].startswith(f"{base}{layout}/repos/octo/app/issues/")
    assert len(github.calls) == 1


async def test_by_githubs_name_the_bytes_are_githubs(
    node: Node, github: StandIn, client: aiohttp.ClientSession
) -> None:
    async with client.get(f"{github.url}{ISSUES}", headers={"authorization": "token ghp_reader"}) as answer:
        body, link = await answer.read(), answer.headers["link"]
    headers = {"authorization": "token ghp_reader", "host": "api.github.com"}
    for _ in range(3):
        over_unix = await ask(node, get(ISSUES))
        async with client.get(f"{node.address}{ISSUES}", headers=headers) as over_tcp:
            assert (await over_tcp.read(), over_tcp.headers["link"]) == (body, link)
        assert (over_unix.body, over_unix.headers["link"]) == (body, link)


async def test_what_names_scopes_is_always_githubs(node: Node, github: StandIn) -> None:
    for target in ("/", "/user"):
        for _ in range(2):
            reply = await ask(node, get(target))
            assert reply.headers["cache-status"].startswith("p2pcache; fwd=bypass")


async def test_an_error_of_the_cache_costs_no_answer(
    node: Node, github: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(wanted: Wanted) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(node.engine, "read", broken)
    reply = await ask(node, get(REPO))
    assert (reply.status, json.loads(reply.body)["full_name"]) == (200, "octo/app")
    assert reply.headers["cache-status"] == "p2pcache; fwd=bypass; fwd-status=200; detail=error"
    assert node.stats()["errors"] == {"cache": 1}


async def test_requests_in_one_piece_are_answered_in_order(node: Node, github: StandIn) -> None:
    paths = [REPO, f"{REPO}/issues/1", "/rate_limit", REPO, f"{REPO}/issues/1", REPO]
    for path in paths:
        await ask(node, get(path))
        await ask(node, get(path))
    async with connect(node) as client:
        await client.send(b"".join(get(path) for path in paths))
        found = [json.loads((await client.reply()).body).get("url") for _ in paths]
    assert [url and url.removeprefix("https://api.github.com") for url in found] == [
        None if path == "/rate_limit" else path for path in paths
    ]


async def test_a_connection_is_closed_when_the_client_says_so(node: Node, github: StandIn) -> None:
    for _ in range(3):
        async with connect(node) as client:
            await client.send(get(REPO, "Connection: close"))
            assert (await client.reply()).headers["connection"] == "close"
            assert await client.ended() == b""


@pytest.mark.parametrize("target", [REPO, "/rate_limit"])
@pytest.mark.parametrize("connection", ["close", "keep-alive"])
async def test_http_1_0_gets_a_length_and_the_end_of_the_connection(
    node: Node, github: StandIn, target: str, connection: str
) -> None:
    for _ in range(3):
        async with connect(node) as client:
            await client.send(get(target, f"Connection: {connection}").replace(b"HTTP/1.1", b"HTTP/1.0"))
            reply = await client.reply()
            assert "transfer-encoding" not in reply.headers
            assert json.loads(reply.body)
            assert await client.ended() == b""


async def test_a_dropped_entry_is_not_answered_from(node: Node, github: StandIn) -> None:
    for _ in range(3):
        await ask(node, get(REPO))
    await node.purge("/repos/octo/app")
    reply = await ask(node, get(REPO))
    assert "fwd=" in reply.headers["cache-status"]
    for _ in range(3):
        await ask(node, get(REPO))
    await node.purge(None)
    assert "fwd=" in (await ask(node, get(REPO))).headers["cache-status"]
