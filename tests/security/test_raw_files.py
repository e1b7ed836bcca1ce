"""A file at /raw/ is served to a token that may read it, from the server that the token is for, and from no other."""

import asyncio
import json
from pathlib import Path

import pytest

from p2pcache.node import Node
from p2pcache.testing import StandIn
from tests.support.gateway import TOKEN, Elsewhere, Upstream, ask, get, running

HOST = "github.p2pcache.internal"
FILE = "/raw/octo/vault/HEAD/README.md"


def by(token: str, target: str = FILE) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


async def test_a_private_file_is_never_another_tokens(node: Node, github: StandIn) -> None:
    github.token("ghp_insider", repos=["octo/vault"])
    for _ in range(2):
        assert (await ask(node, by("ghp_insider"))).status == 200
        for other in (by(TOKEN), by("ghp_nobody_knows"), f"GET {FILE} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()):
            assert (await ask(node, other)).status in (401, 404)
    assert (await ask(node, by("ghp_insider"))).headers["cache-status"].startswith("p2pcache; hit")


async def test_a_refusal_takes_what_was_kept_of_the_repository(node: Node, github: StandIn) -> None:
    github.token("ghp_insider", repos=["octo/vault"])
    assert (await ask(node, by("ghp_insider"))).status == 200
    assert (await ask(node, by("ghp_insider", "/repos/octo/vault/issues"))).status == 200
    assert (await ask(node, by("ghp_insider", "/repos/octo/lib/issues"))).status == 200
    github.revoke("ghp_insider", "octo/vault")
    asked = get(FILE, "Cache-Control: no-cache", host=HOST).replace(TOKEN.encode(), b"ghp_insider")
    assert (await ask(node, asked)).status == 404
    assert (await ask(node, by("ghp_insider", "/repos/octo/vault/issues"))).status == 404
    assert (
        (await ask(node, by("ghp_insider", "/repos/octo/lib/issues")))
        .headers["cache-status"]
        .startswith("p2pcache; hit")
    )


async def test_a_write_to_a_file_is_seen(node: Node, github: StandIn) -> None:
    target = "/raw/octo/app/refs/heads/main/README.md"
    before = (await ask(node, by(TOKEN, target))).body
    file = json.loads((await ask(node, get("/repos/octo/app/contents/README.md"))).body)
    body = json.dumps({"message": "x", "content": "bmV3", "sha": file["sha"]}).encode()
    put = get("/repos/octo/app/contents/README.md", f"Content-Length: {len(body)}", method="PUT") + body
    assert (await ask(node, put)).status in (200, 201)
    after = await ask(node, by(TOKEN, target))
    assert (after.body, after.body != before) == (b"new", True)


@pytest.mark.parametrize(
    "target",
    [
        *("/raw/octo/app/HEAD/../../../../api/v3/user", "/raw/octo/app/HEAD/%2e%2e/x", "/raw//octo/app/HEAD/x"),
        *("/raw/octo/app/HEAD/a%2f..%2f..%2fb", "/raw/octo/app/HEAD/a%5c..%5cb", "/raw/octo%2fapp/x/HEAD/a"),
        "/raw/octo",
    ],
)
async def test_paths_that_servers_read_in_two_ways_reach_none(node: Node, github: StandIn, target: str) -> None:
    assert (await ask(node, by(TOKEN, target))).status == 404
    assert github.calls == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_nothing_is_written_there(node: Node, github: StandIn, method: str) -> None:
    reply = await ask(node, get(FILE, "Content-Length: 0", host=HOST, method=method))
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
    assert github.calls == []


async def test_before_github_the_token_goes_to_its_server_of_raw_files_and_with_it_no_more_than_a_read_has(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    async def answer(_: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: "x"\r\nCache-Control: max-age=300\r\n')
        writer.write(b"Content-Length: 2\r\n\r\nok")

    elsewhere.answers(answer)
    async with running("https://api.github.com", tmp_path) as node:
        await elsewhere.lead(node)
        for _ in range(2):
            reply = await ask(node, get("/raw/octo/app/HEAD/README.md", "X-Secret: 1", host=HOST))
            assert (reply.status, reply.body) == (200, b"ok")
    assert elsewhere.asked == [("raw.githubusercontent.com", 443)]
    (head,) = elsewhere.heads
    assert head.startswith("GET /octo/app/HEAD/README.md HTTP/1.1\r\n")
    assert f"authorization: token {TOKEN}" in head.lower()
    assert "x-secret" not in head.lower()


async def test_limits_of_one_server_are_not_the_others(node: Node, github: StandIn) -> None:
    github.fault(match="/raw/*", status=429, headers={"retry-after": "60"})
    assert (await ask(node, by(TOKEN, "/raw/octo/app/HEAD/README.md"))).status == 429
    assert (await ask(node, by(TOKEN, "/repos/octo/app/issues"))).status == 200
    github.secondary("GET /repos/*")
    assert (await ask(node, by(TOKEN, "/repos/octo/app/labels"))).status == 403
    assert (await ask(node, by(TOKEN, "/repos/octo/app/branches"))).headers["cache-status"].endswith("detail=quota")
    refused = await ask(node, by(TOKEN, "/raw/octo/app/HEAD/src/main.py"))
    assert refused.headers["cache-status"].endswith("detail=quota")  # of the 429 before
    github.token("ghp_another", repos=["octo/app"])
    assert (await ask(node, by("ghp_another", "/raw/octo/app/HEAD/README.md"))).status == 200


async def test_a_raw_path_at_the_apis_own_name_is_the_apis(node: Node, github: StandIn) -> None:
    await ask(node, get("/raw/octo/app/HEAD/README.md"))
    assert [call.target for call in github.calls] == ["/raw/octo/app/HEAD/README.md"]
    reply = await ask(node, get("/raw/octo/app/HEAD/README.md"))
    assert "fwd=bypass" in reply.headers["cache-status"]


@pytest.mark.parametrize("first", [True, False])
async def test_two_callers_with_other_features_get_each_their_own_answer(
    node: Node, github: StandIn, first: bool
) -> None:
    query = (
        '{ repository(owner: "octo", name: "app") { issues(first: 1) { nodes { issueFieldValues { totalCount } } } } }'
    )
    body = json.dumps({"query": query}).encode()

    async def data(*lines: str) -> bool:
        sent = get("/graphql", f"Content-Length: {len(body)}", *lines, method="POST") + body
        return "data" in json.loads((await ask(node, sent)).body)

    for featured in (first, not first, first, not first):
        assert await data(*(["GraphQL-Features: issue_fields"] if featured else [])) is featured
