from __future__ import annotations

import asyncio

import pytest

from p2pcache.testing import StandIn
from tests.unit.testing.conftest import Client, Clock

QUERY = "{viewer{login}}"


async def test_headers_count_down_and_the_window_resets(client: Client, github: StandIn, clock: Clock) -> None:
    github.token("ghp_1", limit=2)
    first = await client.get("/repos/octo/app", "ghp_1")
    assert first.headers["X-RateLimit-Limit"] == "2"
    assert first.headers["X-RateLimit-Remaining"] == "1"
    assert first.headers["X-RateLimit-Resource"] == "core"
    await client.get("/repos/octo/app", "ghp_1")
    refused = await client.get("/repos/octo/app", "ghp_1")
    assert refused.status == 403
    assert refused.json["message"].startswith("API rate limit exceeded for ")
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert not github.calls[-1].charged
    clock.now = float(refused.headers["X-RateLimit-Reset"])
    assert (await client.get("/repos/octo/app", "ghp_1")).headers["X-RateLimit-Remaining"] == "1"


async def test_installation_tokens_of_one_repository_share_a_bucket(client: Client, github: StandIn) -> None:
    github.token("ghs_2", repos=["octo/app"])
    github.token("ghs_3", repos=["octo/vault"])
    await client.get("/repos/octo/app", "ghs_1")
    assert (await client.get("/repos/octo/app", "ghs_2")).headers["X-RateLimit-Remaining"] == "998"
    assert (await client.get("/repos/octo/app", "ghs_3")).headers["X-RateLimit-Remaining"] == "999"


async def test_a_limit_can_change_while_the_window_runs(client: Client, github: StandIn) -> None:
    await client.get("/zen", "ghs_1")
    github.token("ghs_2", repos=["octo/app"], limit=10)
    assert (await client.get("/zen", "ghs_1")).headers["X-RateLimit-Remaining"] == "8"


async def test_sixty_an_hour_for_anonymous_callers(client: Client) -> None:
    statuses = [(await client.get("/zen")).status for _ in range(61)]
    assert statuses == [200] * 60 + [403]


async def test_rate_limit_is_free_even_when_spent(client: Client, github: StandIn) -> None:
    github.token("ghp_1", limit=1)
    await client.get("/zen", "ghp_1")
    reply = await client.get("/rate_limit", "ghp_1")
    assert reply.json["resources"]["core"]["remaining"] == reply.json["rate"]["remaining"] == 0
    assert reply.json["resources"]["search"]["limit"] == 30
    assert github.charged("ghp_1") == 1


async def test_search_has_a_bucket_of_its_own(client: Client) -> None:
    reply = await client.get("/search/issues?q=repo:octo/app", "ghs_1")
    assert reply.headers["X-RateLimit-Resource"] == "search"
    assert reply.headers["X-RateLimit-Limit"] == "30"
    assert reply.json["total_count"] == 45
    assert "ETag" not in reply.headers


async def test_graphql_over_the_limit_is_a_success_that_says_so(client: Client, github: StandIn) -> None:
    github.token("ghp_1", limit=1)
    assert "data" in (await client.graphql("ghp_1", QUERY)).json
    reply = await client.graphql("ghp_1", QUERY)
    assert (reply.status, reply.json["errors"][0]["type"]) == (200, "RATE_LIMITED")
    assert reply.headers["X-RateLimit-Resource"] == "graphql"
    assert (await client.get("/zen", "ghp_1")).status == 200


async def test_too_many_at_once_meet_the_secondary_limit(clock: Clock) -> None:
    from aiohttp import ClientSession

    async with StandIn(clock=clock, concurrent=2, latency=0.2) as github, ClientSession() as session:
        github.token("ghp_1")

        async def one() -> tuple[int, str | None]:
            async with session.get(f"{github.url}/zen", headers={"Authorization": "Bearer ghp_1"}) as reply:
                return reply.status, reply.headers.get("Retry-After")

        answers = await asyncio.gather(*(one() for _ in range(4)))
    assert (403, "60") in answers
    assert (200, None) in answers


@pytest.mark.parametrize("status", [403, 429])
async def test_secondary_limit_on_demand(client: Client, github: StandIn, status: int) -> None:
    github.secondary("/zen", status=status, retry_after=7)
    reply = await client.get("/zen", "ghs_1")
    assert (reply.status, reply.headers["Retry-After"]) == (status, "7")
    assert "secondary rate limit" in reply.json["message"]
    assert (await client.get("/zen", "ghs_1")).status == 200
