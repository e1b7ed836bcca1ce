"""What was kept is dropped for writes that GitHub took from somebody it knows, and for this node's user; else not."""

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from p2pcache.github.methods import WRITES
from p2pcache.node import Node
from p2pcache.testing import StandIn
from tests.support.gateway import TOKEN, ask, ask_as_another_user, connect, connect_tcp, get, running

KEPT = ("/repos/octo/app", "/repos/octo/app/issues", "/repos/octo/app/labels", "/meta")
MUTATION = json.dumps({"query": 'mutation { addStar(input: {starrableId: "x"}) { clientMutationId } }'}).encode()
CONTROL = "6c0n7r01Zq8Vw2Tm5Xk9Yb4Hd7Js3Lf1"
STRANGER = "Authorization: token ghp_nobody_knows"


@pytest.fixture
async def filled(node: Node, github: StandIn) -> Node:
    """A node that has `KEPT`."""
    for target in KEPT:
        assert (await ask(node, get(target))).status == 200
    return node


async def kept(node: Node) -> list[str]:
    """Which of `KEPT` are still served without asking."""
    return [t for t in KEPT if (await ask(node, get(t))).headers["cache-status"].startswith("p2pcache; hit")]


def by(target: str, *lines: str, method: str = "POST", host: str = "api.github.com", body: bytes = b"{}") -> bytes:
    """A request without the known token."""
    fields = [f"Host: {host}", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *fields, "", ""]).encode() + body


TARGETS = ["/repos/octo/app/labels", "/repos/octo/app", "/orgs/octo", "/nonsense", "/credentials/revoke"]


@pytest.mark.parametrize("method", sorted(WRITES))
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("lines", [(), (STRANGER,), ("Cookie: user_session=1",)], ids=["nobody", "stranger", "cookie"])
async def test_writes_of_strangers(filled: Node, method: str, target: str, lines: tuple[Any, ...]) -> None:
    assert (await ask(filled, by(target, *lines, method=method))).status >= 400
    assert await kept(filled) == list(KEPT)


@pytest.mark.parametrize("status", [202, 301, 307, 308, 400, 405, 409, 410, 418, 422, 451, 500, 502, 503])
async def test_whatever_github_says_to_a_stranger(filled: Node, github: StandIn, status: int) -> None:
    """Some operations need no credential; and an answer that says nothing of a credential proves none."""
    lines = (STRANGER,) if status >= 300 else ()
    for target in TARGETS:
        github.fault(status=status, headers={"location": "https://api.github.com/x"})
        assert (await ask(filled, by(target, *lines))).status == status
    assert await kept(filled) == list(KEPT)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 409, 422, 429])
async def test_a_write_that_github_refused(filled: Node, github: StandIn, status: int) -> None:
    github.fault(status=status)
    assert (await ask(filled, get("/repos/octo/app/labels", "Content-Length: 0", method="POST"))).status == status
    assert await kept(filled) == list(KEPT)


@pytest.mark.parametrize("status", [200, 201, 204, 500, 502])
async def test_a_write_that_github_took_or_may_have_taken_from_somebody_it_knows(
    filled: Node, github: StandIn, status: int
) -> None:
    github.fault(status=status, body="" if status == 204 else None)
    await ask(filled, get("/repos/octo/app/labels", "Content-Length: 0", method="POST"))
    assert "/repos/octo/app/labels" not in await kept(filled)


async def test_a_write_without_an_answer(filled: Node, github: StandIn) -> None:
    """Of somebody whom GitHub knows it may have arrived; of a stranger it would have been refused."""
    github.fault(garbage=True)
    assert (await ask(filled, by("/repos/octo/app/labels", STRANGER))).status == 502
    assert await kept(filled) == list(KEPT)
    github.fault(garbage=True)
    assert (await ask(filled, get("/repos/octo/app/labels", "Content-Length: 0", method="POST"))).status == 502
    assert "/repos/octo/app/labels" not in await kept(filled)


@pytest.mark.parametrize("target", ["/repos/octo/app", "/graphql", "/api/uploads/repos/octo/app/releases/1/assets"])
async def test_a_write_that_was_sent_by_half(filled: Node, target: str) -> None:
    host = "127.0.0.1" if target.startswith("/api") else "api.github.com"
    async with connect(filled) as client:
        await client.send(get(target, "Content-Length: 1000", host=host, method="PATCH") + b'{"query":"mutation')
        await asyncio.sleep(0.05)
    server: Any = filled._server
    await asyncio.wait([*server._server.server_state.tasks, asyncio.create_task(asyncio.sleep(0))], timeout=5)
    assert await kept(filled) == list(KEPT)


@pytest.mark.parametrize("lines", [(), (STRANGER,)], ids=["nobody", "stranger"])
async def test_mutations_of_strangers(filled: Node, lines: tuple[str, ...]) -> None:
    await ask(filled, by("/graphql", *lines, body=MUTATION))
    await ask(filled, by("/graphql", *lines, body=MUTATION + b" " * (1 << 20)))  # too large to be looked into
    assert await kept(filled) == list(KEPT)


@pytest.mark.parametrize("lines", [(), (STRANGER,)], ids=["nobody", "stranger"])
async def test_uploads_of_strangers(filled: Node, lines: tuple[str, ...]) -> None:
    target = "/api/uploads/repos/octo/app/releases/1/assets?name=x"
    assert (await ask(filled, by(target, *lines, host="127.0.0.1"))).status >= 400
    assert await kept(filled) == list(KEPT)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "https://api.github.com"])
async def test_a_page_with_a_token_of_its_own(filled: Node, github: StandIn, origin: str) -> None:
    """GitHub answers pages of any origin; a page that has a token could drop what others have kept."""
    name = json.dumps({"name": f"from a page {len(origin)}"}).encode()
    lines = (f"Authorization: token {TOKEN}", f"Origin: {origin}")
    assert (await ask(filled, by("/repos/octo/app/labels", *lines, body=name, host="127.0.0.1:1"))).status == 201
    await ask(filled, by("/graphql", *lines, body=MUTATION, host="127.0.0.1:1"))
    assert await kept(filled) == list(KEPT)


PURGE = b'{"all":true}'


async def purge_tcp(node: Node, *lines: str, body: bytes = PURGE) -> int:
    async with connect_tcp(node) as client:
        await client.send(by("/-/purge", *lines, host=node.address.removeprefix("http://"), body=body))
        return (await client.reply()).status


async def test_purge_over_the_loopback_wants_the_token(filled: Node, tmp_path: Path) -> None:
    assert await purge_tcp(filled) == 401
    assert await purge_tcp(filled, "Authorization: Bearer wrong") == 401
    assert await purge_tcp(filled, f"Authorization: token {TOKEN}") == 401
    assert await kept(filled) == list(KEPT)
    token = (tmp_path / "s.control-token").read_text()
    assert await purge_tcp(filled, f"Authorization: Bearer {token}") == 200
    assert await kept(filled) == []


async def test_purge_by_this_user_over_the_socket(filled: Node) -> None:
    assert (await ask(filled, by("/-/purge", host="localhost", body=PURGE))).status == 200
    assert await kept(filled) == []


@pytest.mark.needs("root")
async def test_purge_by_another_user_over_the_socket(filled: Node, tmp_path: Path) -> None:
    raw = by("/-/purge", "Connection: close", host="localhost", body=PURGE)
    assert (await ask_as_another_user(filled, raw))[0] == 401
    assert await kept(filled) == list(KEPT)
    assert (await ask_as_another_user(filled, by("/-/stats", "Connection: close", host="x", method="GET")))[0] == 421
    token = (tmp_path / "s.control-token").read_text()
    raw = by("/-/purge", "Connection: close", f"Authorization: Bearer {token}", host="localhost", body=PURGE)
    assert (await ask_as_another_user(filled, raw))[0] == 200


@pytest.mark.parametrize(
    "line", ["Origin: https://evil.example", "Origin: null", "Origin: http://localhost", "X-Forwarded-For: 127.0.0.1"]
)
async def test_purge_by_a_page_or_through_a_proxy(filled: Node, line: str) -> None:
    assert (await ask(filled, by("/-/purge", line, host="localhost", body=PURGE))).status in (401, 403)
    assert await kept(filled) == list(KEPT)


async def test_the_token_that_a_node_makes_is_this_users_alone(github: StandIn, tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        async with running(github.url, tmp_path) as node:
            path = tmp_path / "s.control-token"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            seen.append(path.read_text())
            assert seen[-1] not in (await ask(node, by("/-/stats", method="GET", host="localhost"))).body.decode()
        assert not path.exists()
    assert len(set(seen)) == 2
    assert all(len(token) >= 32 for token in seen)


async def test_a_token_that_was_given_is_not_written_down(github: StandIn, tmp_path: Path) -> None:
    from p2pcache.settings import Secret

    async with running(github.url, tmp_path, control_token=Secret(CONTROL)) as node:
        assert not (tmp_path / "s.control-token").exists()
        assert await purge_tcp(node, f"Authorization: Bearer {CONTROL}") == 200


async def test_a_link_in_the_way_is_not_followed(github: StandIn, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("precious")
    (tmp_path / "s.control-token").symlink_to(target)
    async with running(github.url, tmp_path):
        assert target.read_text() == "precious"
        assert not (tmp_path / "s.control-token").is_symlink()
