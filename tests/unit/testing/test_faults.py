from __future__ import annotations

import asyncio

import aiohttp
import pytest

from p2pcache.testing import StandIn
from tests.unit.testing.conftest import Client


async def test_a_status_once_then_well_again(client: Client, github: StandIn) -> None:
    github.fault(match="GET /zen", status=502, headers={"x-why": "test"})
    reply = await client.get("/zen", "ghs_1")
    assert (reply.status, reply.headers["x-why"]) == (502, "test")
    assert github.charged() == 0
    assert (await client.get("/zen", "ghs_1")).status == 200


async def test_only_what_matches_fails_as_often_as_told(client: Client, github: StandIn) -> None:
    github.fault(match="/repos/octo/*", status=500, times=2)
    statuses = [(await client.get(path)).status for path in ("/zen", "/repos/octo/app", "/repos/octo/app/x", "/meta")]
    assert statuses == [200, 500, 500, 200]
    github.fault(status=503, times=None)
    assert {(await client.get("/zen")).status for _ in range(3)} == {503}
    github.clear_faults()
    assert (await client.get("/zen")).status == 200


async def test_a_body_is_cut(client: Client, github: StandIn) -> None:
    github.fault(cut_after=10)
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.get("/repos/octo/app")
    assert (await client.get("/repos/octo/app")).status == 200


async def test_garbage_is_no_http(client: Client, github: StandIn) -> None:
    github.fault(garbage=True)
    with pytest.raises((aiohttp.ClientResponseError, aiohttp.ServerDisconnectedError)):
        await client.get("/zen")
    assert github.calls[-1].status == 0


async def test_a_stalled_answer_never_comes_and_holds_nothing_up(client: Client, github: StandIn) -> None:
    github.fault(match="/zen", stall=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.get("/zen")
    assert (await client.get("/meta")).status == 200


async def test_closing_ends_a_stall() -> None:
    async with aiohttp.ClientSession() as session:
        async with StandIn() as github:
            github.fault(stall=True)
            asking = asyncio.create_task(session.get(f"{github.url}/zen"))
            while not github.calls:  # noqa: ASYNC110 - the record is the only sign, and pytest-timeout bounds the wait
                await asyncio.sleep(0)
        with pytest.raises(aiohttp.ClientError):
            await asking


async def test_a_delay_is_waited(client: Client, github: StandIn) -> None:
    github.fault(match="/zen", delay=0.05)
    started = asyncio.get_running_loop().time()
    assert (await client.get("/zen")).status == 200
    assert asyncio.get_running_loop().time() - started >= 0.05


async def test_calls_are_recorded_as_seen(client: Client, github: StandIn) -> None:
    await client.get("/zen?x=1", "ghs_1", User_Agent="me", If_None_Match='"x"', Cookie="a=1")
    call = github.calls[0]
    assert (call.method, call.target, call.token, call.status) == ("GET", "/zen?x=1", "ghs_1", 200)
    assert (call.charged, call.conditional, call.user_agent, call.headers["cookie"]) == (True, True, "me", "a=1")
    github.reset_calls()
    assert github.calls == []
