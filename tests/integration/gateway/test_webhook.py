"""A delivery of GitHub, through a whole gateway: the next read sees what changed there, and nothing else is lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from p2pcache.hub import webhook
from p2pcache.node import Node
from p2pcache.settings import Secret
from p2pcache.testing import StandIn
from tests.support.deliveries import SECRET, about, fields
from tests.support.gateway import LIMIT, ask, get, running

ISSUE = "/repos/octo/app/issues/1"


@pytest.fixture
async def hooked(github: StandIn, tmp_path: Path) -> AsyncIterator[Node]:
    async with running(github.url, tmp_path, webhook_secrets=(Secret(SECRET),)) as node:
        yield node


async def deliver(node: Node, client: aiohttp.ClientSession, body: bytes, event: str) -> dict[str, str]:
    async with client.post(f"{node.address}/-/webhook", data=body, headers=fields(body, event)) as answer:
        assert answer.status == 200, await answer.text()
        said: dict[str, str] = await answer.json()
        return said


async def title(node: Node) -> str:
    answer = await ask(node, get(ISSUE))
    assert answer.status == 200
    return str(json.loads(answer.body)["title"])


async def hit(node: Node, target: str) -> bool:
    return (await ask(node, get(target))).headers["cache-status"].startswith("p2pcache; hit")


async def test_what_changed_at_github_is_new_after_its_delivery(
    hooked: Node, github: StandIn, client: aiohttp.ClientSession
) -> None:
    before = await title(hooked)
    for target in ("/repos/octo/app/branches", "/repos/octo/lib/issues"):
        await ask(hooked, get(target))
    github.edit("octo/app", issue=1, title="Changed by somebody else")
    assert await title(hooked) == before
    said = await deliver(hooked, client, about(action="edited"), "issues")
    assert said == {"status": "dropped", "event": "issues"}
    assert await title(hooked) == "Changed by somebody else"
    assert await hit(hooked, "/repos/octo/app/branches")
    assert await hit(hooked, "/repos/octo/lib/issues")


async def test_what_github_gave_while_it_was_behind_its_webhook_does_not_stay(
    hooked: Node, github: StandIn, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "LAG", 0.05)
    before = await title(hooked)
    await deliver(hooked, client, about(action="edited"), "issues")
    assert await title(hooked) == before
    github.edit("octo/app", issue=1, title="Seen by all replicas")
    async with asyncio.timeout(LIMIT):
        while await title(hooked) == before:
            pass


async def test_what_is_read_by_number_is_dropped_by_name(
    hooked: Node, github: StandIn, client: aiohttp.ClientSession
) -> None:
    number = json.loads((await ask(hooked, get("/repos/octo/app"))).body)["id"]
    target = f"/repositories/{number}/issues/1"
    await ask(hooked, get(target))
    assert await hit(hooked, target)
    await deliver(hooked, client, about(number=number), "issues")
    assert not await hit(hooked, target)


async def test_who_may_read_is_asked_again_after_a_repository_was_hidden(
    hooked: Node, github: StandIn, client: aiohttp.ClientSession
) -> None:
    anonymous = f"GET {ISSUE} HTTP/1.1\r\nHost: api.github.com\r\n\r\n".encode()
    assert (await ask(hooked, anonymous)).status == 200
    github.edit("octo/app", private=True)
    assert (await ask(hooked, anonymous)).status == 200
    await deliver(hooked, client, about(action="privatized"), "repository")
    assert (await ask(hooked, anonymous)).status == 404


async def test_deliveries_are_counted(hooked: Node, client: aiohttp.ClientSession) -> None:
    await deliver(hooked, client, b'{"zen": "Keep it logically awesome."}', "ping")
    async with client.post(f"{hooked.address}/-/webhook", data=about()) as answer:
        assert answer.status == 401
    assert hooked.stats()["webhooks"] == {"ignored": 1, "unsigned": 1}
    async with client.get(f"{hooked.address}/-/metrics") as answer:
        assert 'p2pcache_webhook_deliveries_total{outcome="unsigned"} 1.0' in await answer.text()


async def test_without_a_secret_there_is_no_such_endpoint(node: Node, client: aiohttp.ClientSession) -> None:
    body = about()
    async with client.post(f"{node.address}/-/webhook", data=body, headers=fields(body, "issues")) as answer:
        assert answer.status == 404
