"""Requests of programs that were led here by name, counted among all others."""

import asyncio
import socket

import pytest

from p2pcache.interception.peer_name import named
from p2pcache.node import Node
from p2pcache.testing import StandIn

from .conftest import LIMIT, Raw, ask, get

REPO = "/repos/octo/app"


async def replies(node: Node, name: str, *requests: bytes) -> list[str]:
    """The ``Cache-Status`` of each request over one connection from a socket with that name."""
    connection = socket.socket(socket.AF_UNIX)
    connection.bind(name)
    connection.connect(str(node.socket))
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    client = Raw(reader, writer)
    found = []
    for request in requests:
        await client.send(request)
        reply = await client.reply(head=request.startswith(b"HEAD"))
        found.append(reply.headers["cache-status"].partition(";")[2])
    writer.close()
    await asyncio.wait_for(writer.wait_closed(), LIMIT)
    return found


async def test_what_a_program_asks_and_what_it_was_saved_is_counted(node: Node, github: StandIn) -> None:
    asked = await replies(node, named("node", "1"), *[get(REPO)] * 4, get("/octocat"))
    assert [answer.split(";")[0].strip() for answer in asked] == [
        "fwd=uri-miss", "hit", "hit", "hit", "fwd=bypass",
    ]  # fmt: skip
    await ask(node, get(REPO))  # by another way
    stats = node.ledger.stats()
    assert stats["programs"] == {"node": {"requests": 5, "saved": 3}}
    assert stats["api_calls_saved"] == 4


@pytest.mark.parametrize(("field", "saved"), [("Authorization: token ghp_reader", 2), ("Accept: */*", 0)])
async def test_a_304_saves_a_call_where_github_does_not_charge_it(
    node: Node, github: StandIn, field: str, saved: int
) -> None:
    lines = (f"GET {REPO} HTTP/1.1", "Host: api.github.com", "Cache-Control: no-cache", field, "", "")
    await replies(node, named("curl", "1"), *["\r\n".join(lines).encode()] * 3)
    stats = node.ledger.stats()
    assert (stats["upstream"]["not_modified"], stats["api_calls_saved"]) == (2, saved)
    assert stats["programs"] == {"curl": {"requests": 3, "saved": saved}}
