"""A limit that GitHub states once holds for all that a token sends, reads and writes, until its time is over."""

import json

import pytest

from p2pcache.node import Node
from p2pcache.testing import StandIn

from .conftest import TOKEN, ask, get

STRANGER = "ghp_stranger"


def post(target: str, token: str = TOKEN) -> bytes:
    body = b'{"title":"x"}'
    head = f"POST {target} HTTP/1.1\r\nHost: api.github.com\r\nAuthorization: token {token}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(get("/repos/octo/app"), id="said to a read"),
        pytest.param(get("/rate_limit"), id="said to what only passes through"),
        pytest.param(post("/repos/octo/app/issues"), id="said to a write"),
    ],
)
@pytest.mark.parametrize("headers", [{"retry-after": "60"}, {}], ids=["with retry-after", "in words alone"])
async def test_nobody_asks_again_before_its_time(
    node: Node, github: StandIn, first: bytes, headers: dict[str, str]
) -> None:
    said = json.dumps({"message": "You have exceeded a secondary rate limit. Please wait."})
    github.fault(status=403, body=said, headers=headers)
    assert (await ask(node, first)).status == 403
    github.reset_calls()
    for later in (get("/repos/octo/app/labels"), get("/user"), post("/repos/octo/app/issues"), get("/", method="HEAD")):
        reply = await ask(node, later)
        assert (reply.status, reply.headers["cache-status"]) == (403, "p2pcache; detail=quota")
        assert 50 < int(reply.headers["retry-after"]) <= 60
        assert later.startswith(b"HEAD") or "secondary rate limit" in json.loads(reply.body)["message"]
    assert github.calls == []


async def test_others_go_on(node: Node, github: StandIn) -> None:
    github.token(STRANGER, repos=["octo/app"])
    github.secondary()
    await ask(node, get("/user"))
    assert (await ask(node, post("/repos/octo/app/issues", STRANGER))).status == 201


async def test_a_refused_write_voids_nothing(node: Node, github: StandIn) -> None:
    github.token(STRANGER, read_only=True)
    for _ in range(2):
        await ask(node, get("/repos/octo/app/issues"))
    assert (await ask(node, post("/repos/octo/app/issues", STRANGER))).status == 403
    reply = await ask(node, get("/repos/octo/app/issues"))
    assert reply.headers["cache-status"].endswith("detail=memory")
