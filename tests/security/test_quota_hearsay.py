"""What a member says of a quota may slow a node down; a job is refused only what GitHub itself refused this node."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from p2pcache.cache.sealing import SealedKind
from p2pcache.github.quota import Bucket
from p2pcache.node import Node
from p2pcache.settings import Listen, Secret, Settings
from p2pcache.swarm.protocol.frames import Quota
from p2pcache.testing import StandIn
from p2pcache.testing.liar import Liar, Meeting
from tests.support.gateway import TOKEN
from tests.support.swarms import until

REPOSITORY = "/repos/octo/app"


@pytest.fixture
async def node(github: StandIn, tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(
        Settings(
            upstream=github.url,
            directory=tmp_path,
            socket=tmp_path / "s",
            listen=Listen(),
            token=Secret(TOKEN),
            secrets=(Secret(secrets.token_hex(32)),),
            p2p_listen="/ip4/127.0.0.1/tcp/0",
            repository="octo/app",
        )
    )
    async with made:
        await until(lambda: made.participation.state == "ready")
        yield made


async def get(node: Node, path: str) -> tuple[int, dict[str, str]]:
    """Status and headers of a read through the node, as the job's token."""
    sent = {"Authorization": f"token {TOKEN}", "Accept": "application/vnd.github+json"}
    async with aiohttp.ClientSession() as session, session.get(node.address + path, headers=sent) as response:
        await response.read()
        return response.status, {name.lower(): value for name, value in response.headers.items()}


async def tell(node: Node, meeting: Meeting, *bucket: str | int, at: Any | None = None) -> None:
    """Say what a member that knows the secret can say: sealed as members seal it."""
    [scope] = {scope for scope, _ in node.buckets}
    name = node.keyring.scope_name(f"{scope} {bucket[0]}")
    sealed = node.keyring.seal(msgspec.msgpack.encode((scope, *bucket)), SealedKind.QUOTA, name)
    await meeting.say(Quota(name, time.time() if at is None else at, sealed))


def core(node: Node) -> set[Bucket]:
    return {bucket for _, bucket in node.buckets if bucket.resource == "core"}


async def test_a_member_that_says_nothing_is_left_makes_nobody_refuse(node: Node, github: StandIn) -> None:
    assert (await get(node, REPOSITORY))[0] == 200
    before = core(node)
    [truth] = before
    async with Liar(node.keyring.membership_keys[0]) as liar:
        meeting = await liar.meet(node.multiaddrs[0])
        await tell(node, meeting, "core", truth.limit, 0, truth.reset)
        await until(lambda: core(node) != before)
        for path in ("/labels", "/issues", "/branches", "/releases"):
            status, headers = await get(node, REPOSITORY + path)
            assert status == 200
            assert headers["x-ratelimit-remaining"] != "0"
        # A hit from memory does not show the client a limit that GitHub never stated either.
        assert (await get(node, REPOSITORY + "/labels"))[1]["x-ratelimit-remaining"] != "0"


async def test_a_member_that_says_all_is_left_does_not_make_a_node_forget_what_github_said(
    node: Node, github: StandIn
) -> None:
    assert (await get(node, REPOSITORY))[0] == 200
    [(scope, before)] = list(node.buckets)
    node.buckets.observe(
        scope,
        {
            "x-ratelimit-limit": str(before.limit),
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": str(int(time.time()) + 60),
        },
    )
    async with Liar(node.keyring.membership_keys[0]) as liar:
        meeting = await liar.meet(node.multiaddrs[0])
        known = core(node)
        await tell(node, meeting, "core", before.limit, before.limit, int(time.time()) + 3650)
        await until(lambda: core(node) != known)
        own = node.buckets.get(scope, "core")
        assert own == before or (own is not None and own.remaining == 0)


@pytest.mark.parametrize(
    "said",
    [
        ("core", 1000, 0, 2**62),
        ("core", 1000, 5000, 60),
        ("core", 0, 0, 60),
        ("core", -5, -7, 60),
        ("core\r\nset-cookie: a=b", 1000, 1, 60),
        ("core", 1000, 1, 7200),
    ],
    ids=["a reset in another age", "more left than there was", "no limit", "below nothing", "a line", "two windows"],
)
async def test_what_github_cannot_have_said_is_not_taken_in(
    node: Node, github: StandIn, said: tuple[str, int, int, int]
) -> None:
    assert (await get(node, REPOSITORY))[0] == 200
    before = list(node.buckets)
    async with Liar(node.keyring.membership_keys[0]) as liar:
        meeting = await liar.meet(node.multiaddrs[0])
        resource, limit, remaining, ahead = said
        await tell(node, meeting, resource, limit, remaining, int(time.time()) + ahead)
        # Something that is believed, said after it, shows that it has been dealt with.
        name = node.keyring.scope_name("another")
        fields = ("another", "core", 60, 59, int(time.time()) + 600)
        sealed = node.keyring.seal(msgspec.msgpack.encode(fields), SealedKind.QUOTA, name)
        await meeting.say(Quota(name, time.time(), sealed))
        await until(lambda: any(scope == "another" for scope, _ in node.buckets))
    assert [entry for entry in node.buckets if entry[0] != "another"] == before
