"""`/-/mcp` of a hub: the SDK's own client in both protocols, and clients that want more than they may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourceUpdated

from p2pcache.hub import mcp
from p2pcache.hub.mcp.http_endpoint import REQUESTS
from p2pcache.hub.mcp.results import MAX_RESULT
from p2pcache.hub.mcp.watches import MOST_OF_ONE
from p2pcache.node import Node
from p2pcache.testing import StandIn
from p2pcache.values import Secret
from tests.support.deliveries import SECRET, about, fields
from tests.support.gateway import LIMIT, TOKEN, ask_as_another_user, connect_tcp, running
from tests.support.mcp import hub

MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])
REPOSITORY = "/repos/octo/app"
URI = "github://repos/octo/app/issues/1"
OTHER = "ghp_other"


@pytest.fixture
async def node(github: StandIn, tmp_path: Path) -> AsyncIterator[Node]:
    async with hub(github.url, tmp_path) as node:
        yield node


@asynccontextmanager
async def speaking(node: Node, mode: Any = "auto", **headers: str) -> AsyncIterator[Client]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx2.AsyncClient(headers=named, timeout=LIMIT) as http:
        transport = streamable_http_client(f"{node.address}/-/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


def calls(github: StandIn, target: str) -> int:
    return len([call for call in github.calls if call.target.partition("?")[0] == target])


async def next_of(updates: Any) -> str:
    """The next resource that changed."""
    async with asyncio.timeout(LIMIT):
        update = await anext(aiter(updates))
    assert isinstance(update, ResourceUpdated)
    return update.uri


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


async def post(node: Node, body: Any, host: str = "", path: str = "/-/mcp", **headers: str) -> tuple[int, str]:
    """What a client of the older protocol gets for one POST."""
    fields = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()} | ({"host": host} if host else {})
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as http, http.post(f"{node.address}{path}", data=data, headers=fields) as answer:
        return answer.status, await answer.text()


# As a client uses it


@MODES
async def test_a_client_lists_and_calls(node: Node, mode: str) -> None:
    async with speaking(node, mode) as client:
        assert client.protocol_version == {"auto": "2026-07-28", "legacy": "2025-11-25"}[mode]
        listed = await client.list_tools()
        assert len(listed.tools) == 10
        assert len(listed.model_dump_json(by_alias=True, exclude_none=True)) < 8000
        found = await client.call_tool("issues", {"repo": "octo/app", "number": 3})
        assert found.structured_content is not None
        assert found.structured_content["data"]["number"] == 3
        assert json.loads(found.content[0].text) == found.structured_content  # type: ignore[union-attr]
        templates = (await client.list_resource_templates()).resource_templates
        assert "github://repos/{owner}/{repo}/issues/{number}" in {each.uri_template for each in templates}


async def test_a_runner_and_an_agent_share_one_call(node: Node, github: StandIn) -> None:
    named = {"authorization": f"token {TOKEN}", "accept": "application/vnd.github+json"}
    async with aiohttp.ClientSession() as http, http.get(node.address + REPOSITORY, headers=named) as runner:
        assert runner.status == 200
    async with speaking(node, authorization=f"Bearer {TOKEN}") as client:
        found = await client.call_tool("repository", {"repo": "octo/app"})
    assert found.structured_content is not None
    assert (found.structured_content["source"], found.structured_content["charged"]) == ("memory", 0)
    assert found.structured_content["quota"]["remaining"] == 4999
    assert calls(github, REPOSITORY) == 1


async def test_a_read_says_how_long_it_stays(node: Node) -> None:
    async with speaking(node) as client:
        read = await client.read_resource(URI)
        assert 50_000 <= read.ttl_ms <= 60_000
        assert read.cache_scope == "private"
        meta = read.contents[0].meta
        assert meta is not None
        assert (meta["untrusted"], meta["source"], meta["charged"]) == (True, "github", 1)


@MODES
async def test_no_answer_is_longer_than_its_bound(node: Node, github: StandIn, mode: str) -> None:
    github.fault(match="/repos/octo/app/readme", status=200, body=json.dumps({"body": '"\\é\u200b' * 800_000}))
    async with speaking(node, mode) as client:
        found = await client.call_tool("github_get", {"path": "/repos/octo/app/readme"})
        assert found.structured_content is not None
        assert found.structured_content["next"]
        assert len(found.model_dump_json(by_alias=True, exclude_none=True).encode()) <= MAX_RESULT


@MODES
async def test_what_a_caller_gets_wrong_is_a_sentence(node: Node, mode: str) -> None:
    async with speaking(node, mode) as client:
        found = await client.call_tool("issues", {"repo": ["octo/app"]})
        assert found.is_error
        assert "arguments" in found.content[0].text  # type: ignore[union-attr]
        with pytest.raises(MCPError, match="no such tool"):
            await client.call_tool("github_put", {})
        with pytest.raises(MCPError, match="no such resource"):
            await client.read_resource("github://repos/octo/app/../vault")
        found = await client.call_tool("github_graphql", {"query": "mutation { x }"})
        assert found.is_error


# Pushed updates


async def test_a_write_through_the_gateway_is_pushed(node: Node) -> None:
    fields = {"authorization": f"token {TOKEN}"}
    watched = [URI, "github://repos/octo/lib"]
    async with (
        speaking(node) as client,
        aiohttp.ClientSession(headers=fields) as http,
        client.listen(resource_subscriptions=watched) as updates,
    ):
        comments = f"{node.address}/repos/octo/app/issues/1/comments"
        async with http.post(comments, json={"body": "new"}) as answer:
            assert answer.status == 201
        assert await next_of(updates) == URI


async def test_a_peers_write_is_pushed(node: Node) -> None:
    async with speaking(node) as client, client.listen(resource_subscriptions=[URI]) as updates:
        node.library.drop_soon(set(node.keyring.topic_names(["repo:octo/app:talk"])), None)
        assert await next_of(updates) == URI


async def test_a_delivery_of_githubs_is_pushed(github: StandIn, tmp_path: Path) -> None:
    body = about(action="edited")
    async with (
        hub(github.url, tmp_path, webhook_secrets=(Secret(SECRET),)) as node,
        speaking(node) as client,
        client.listen(resource_subscriptions=[URI]) as updates,
        aiohttp.ClientSession() as http,
    ):
        async with http.post(f"{node.address}/-/webhook", data=body, headers=fields(body, "issues")) as answer:
            assert answer.status == 200
        assert await next_of(updates) == URI


async def test_what_watches_nothing_holds_no_place(node: Node) -> None:
    """It is acknowledged, and over; as many as a caller may have are open beside it."""
    async with speaking(node, authorization="Bearer invented") as client, AsyncExitStack() as life:
        for _ in range(MOST_OF_ONE + 1):
            await life.enter_async_context(client.listen(tools_list_changed=True))
        updates = await life.enter_async_context(client.listen(resource_subscriptions=[]))
        async with asyncio.timeout(LIMIT):
            assert [update async for update in updates] == []


async def test_only_what_the_caller_can_read_is_watched(node: Node, github: StandIn) -> None:
    github.token(OTHER)
    async with speaking(node, authorization=f"Bearer {OTHER}") as client:
        async with client.listen(resource_subscriptions=[URI, "github://repos/octo/vault"]) as updates:
            assert updates.honored.resource_subscriptions == [URI]
        with pytest.raises(MCPError, match="none of these"):
            async with client.listen(resource_subscriptions=["github://repos/octo/vault"]):
                pass


async def test_a_hub_that_ends_ends_its_subscriptions(github: StandIn, tmp_path: Path) -> None:
    node = hub(github.url, tmp_path)
    async with speaking(await node.__aenter__()) as client, client.listen(resource_subscriptions=[URI]) as updates:
        async with asyncio.timeout(4):  # less than the server waits for answers under way
            await node.__aexit__(None, None, None)
            with pytest.raises(StopAsyncIteration):
                await anext(aiter(updates))


# Whose token


async def test_one_tokens_private_data_are_never_anothers(node: Node, github: StandIn) -> None:
    github.token("ghp_owner", repos=["octo/vault"])
    github.token(OTHER)
    for _ in range(2):
        async with speaking(node, authorization="Bearer ghp_owner") as client:
            assert not (await client.call_tool("repository", {"repo": "octo/vault"})).is_error
        async with speaking(node, authorization=f"Bearer {OTHER}") as client:
            assert "404" in (await client.call_tool("repository", {"repo": "octo/vault"})).content[0].text  # type: ignore[union-attr]
            with pytest.raises(MCPError, match="404"):
                await client.read_resource("github://repos/octo/vault")
        async with speaking(node) as client:  # the hub's own token may not either
            assert (await client.call_tool("repository", {"repo": "octo/vault"})).is_error


async def test_a_caller_behind_a_proxy_needs_a_token(node: Node, github: StandIn) -> None:
    status, said = await post(node, message("tools/list"), x_forwarded_for="192.0.2.7")
    assert status == 401
    assert "bearer token" in said
    status, _ = await post(node, message("tools/list"), x_forwarded_for="192.0.2.7", authorization=f"Bearer {TOKEN}")
    assert status == 200
    assert github.calls == []


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1"])
async def test_a_page_of_another_site_is_refused(node: Node, github: StandIn, origin: str) -> None:
    status, _ = await post(node, message("tools/list"), origin=origin, authorization=f"Bearer {TOKEN}")
    assert status == 403


@pytest.mark.parametrize("host", ["evil.example", "api.github.com.evil.example"])
async def test_a_name_that_leads_here_is_not_the_hubs(node: Node, host: str) -> None:
    status, _ = await post(node, message("tools/list"), host)
    assert status == 421


async def test_every_name_of_the_gateway_will_do(node: Node) -> None:
    for host in ("localhost:9", "[::1]:9", "host.docker.internal", "192.0.2.1:9"):
        status, _ = await post(node, message("tools/list"), host)
        assert status == 200


async def test_a_purge_needs_the_control_token(node: Node) -> None:
    async with speaking(node) as client:
        found = await client.call_tool("cache_purge", {"all": True})
        assert found.is_error
        assert not (await client.call_tool("cache_status", {})).is_error
    token = (node.settings.directory / "s.control-token").read_text()
    async with speaking(node, p2pcache_control_token=token) as client:
        assert not (await client.call_tool("cache_purge", {"all": True})).is_error
    async with speaking(node, p2pcache_control_token="guess") as client:
        assert (await client.call_tool("cache_purge", {"all": True})).is_error


async def as_another_user(node: Node, tool: str, arguments: dict[str, Any], *fields: str) -> tuple[int, bytes]:
    """What another user of the socket gets for a call."""
    body = json.dumps(message("tools/call", name=tool, arguments=arguments)).encode()
    lines = ["POST /-/mcp HTTP/1.1", "Host: localhost", "Content-Type: application/json", *fields]
    lines += [
        f"Content-Length: {len(body)}",
        "Accept: application/json, text/event-stream",
        "Connection: close",
        "",
        "",
    ]
    return await ask_as_another_user(node, "\r\n".join(lines).encode() + body)


@pytest.mark.needs("root")
async def test_another_user_of_the_socket_purges_nothing(node: Node) -> None:
    status, answer = await as_another_user(node, "cache_purge", {"all": True}, f"Authorization: Bearer {TOKEN}")
    assert status == 200
    assert b"control token" in answer


@pytest.mark.needs("root")
async def test_another_user_of_the_socket_does_not_read_with_the_hubs_token(node: Node, github: StandIn) -> None:
    status, answer = await as_another_user(node, "repository", {"repo": "octo/app"})
    assert status == 401
    assert b"This node's own is for processes of its user" in answer
    assert calls(github, REPOSITORY) == 0


async def test_statistics_are_not_for_those_behind_a_proxy(node: Node) -> None:
    async with speaking(node, x_forwarded_for="192.0.2.7", authorization=f"Bearer {TOKEN}") as client:
        assert (await client.call_tool("cache_status", {})).is_error
        assert not (await client.call_tool("repository", {"repo": "octo/app"})).is_error


# What is sent


async def test_bodies_that_do_not_come_keep_nobody_out(node: Node) -> None:
    head = "POST /-/mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer invented\r\nContent-Length: 100\r\n\r\n{"
    async with AsyncExitStack() as silent:
        for _ in range(REQUESTS):
            await (await silent.enter_async_context(connect_tcp(node))).send(head.encode())
        async with speaking(node) as client:
            assert not (await client.call_tool("repository", {"repo": "octo/app"})).is_error


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"x" * 200_000, 413),
        (b"{" * 100_000, 400),
        (b"not json", 400),
        (b'{"jsonrpc": "2.0"}', 400),
        (b"[]", 400),
        (b"", 400),
        (b"\xff\xfe", 400),
    ],
)
async def test_what_is_no_request_is_refused(node: Node, body: bytes, status: int) -> None:
    assert (await post(node, body))[0] == status
    assert (await post(node, message("tools/list")))[0] == 200


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS"])
async def test_there_are_no_sessions(node: Node, method: str) -> None:
    async with aiohttp.ClientSession() as http, http.request(method, f"{node.address}/-/mcp") as answer:
        assert answer.status == 405


async def test_a_client_that_goes_away_leaves_nothing(node: Node) -> None:
    body = json.dumps(message("tools/list")).encode()
    lines = ["POST /-/mcp HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", "", ""]
    async with connect_tcp(node) as client:
        await client.send("\r\n".join(lines).encode() + body[:20])
    assert (await post(node, message("tools/list")))[0] == 200


async def test_only_a_hub_has_it(github: StandIn, tmp_path: Path) -> None:
    async with running(github.url, tmp_path) as node:
        assert (await post(node, message("tools/list")))[0] == 404


async def test_without_its_packages_a_sentence_says_which(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp, "installed", lambda: False)
    status, said = await post(node, message("tools/list"))
    assert status == 501
    assert "pip install" in said
