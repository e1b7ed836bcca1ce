"""The tools about the cache itself."""

import json

import pytest

from tests.support.mcp import HIT, ScriptedApi, call, refused


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


async def test_the_cache_explains_an_answer(api: ScriptedApi) -> None:
    api.answers("/repos/octo/app", {}, p2pcache_rule="fresh", p2pcache_peers="asked none")
    found = await call(api, "cache_status", what="explain", path="/repos/octo/app")
    assert found["data"] == {"status": 200, "rule": "fresh", "peers_asked": "asked none", "cache_status": HIT}


async def test_statistics_and_peers(api: ScriptedApi) -> None:
    routes = [{"route": f"GET /{number}", "requests": 1, "saved": 0} for number in range(50)]
    api.answers("/-/stats", {"requests": 5, "hits": {"memory": 4}, "routes": routes, "node": {"version": "1"}})
    found = (await call(api, "cache_status"))["data"]
    assert (found["requests"], found["hits"], found["version"], len(found["routes"])) == (5, {"memory": 4}, "1", 10)
    api.answers("/-/peers", [{"peer_id": "12D", "state": "hub", "odd": 1}])
    assert (await call(api, "cache_status", what="peers"))["data"] == [{"peer_id": "12D", "state": "hub"}]


async def test_a_purge_names_one_path_or_all(api: ScriptedApi) -> None:
    api.answers("/-/purge", {"status": "purged"})
    assert (await call(api, "cache_purge", path="/repos/octo/app"))["data"] == {"status": "purged"}
    await call(api, "cache_purge", all=True)
    assert [json.loads(body or b"") for body in api.bodies] == [{"url": "/repos/octo/app"}, {"all": True}]
    assert "one of the two" in await refused(api, "cache_purge")
    assert "one of the two" in await refused(api, "cache_purge", path="/x", all=True)
    assert "path:" in await refused(api, "cache_purge", path="https://evil.example/")


@pytest.mark.parametrize(("status", "words"), [(401, "CACHE_CONTROL_TOKEN"), (403, "control token"), (500, "500")])
async def test_what_a_caller_may_not(api: ScriptedApi, status: int, words: str) -> None:
    api.answers("/-/purge", {"message": "p2pcache: no"}, status)
    assert words in await refused(api, "cache_purge", all=True)
