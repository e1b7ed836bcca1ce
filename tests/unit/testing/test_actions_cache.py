"""The stand-in of the Actions cache, as far as GitHub's own client does not show it (tests/integration/clients)."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from p2pcache.testing.actions_cache import (
    READ,
    WRITE,
    ActionsCache,
    CacheRefusalError,
    Rights,
    rights_of,
    runtime_token,
)
from p2pcache.testing.actions_cache_server import SERVICE, ActionsCacheServer
from p2pcache.testing.faults import Fault

VERSION = "0" * 64
MAIN = Rights("1", {"refs/heads/main": READ | WRITE})
PULL = Rights("1", {"refs/pull/7/merge": READ | WRITE, "refs/heads/main": READ})


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def create(cache: ActionsCache, key: str, rights: Rights = MAIN) -> None:
    _, entry = cache.call("CreateCacheEntry", rights, {"key": key, "version": VERSION})
    assert entry is not None
    cache.upload(entry, b"data", {})
    cache.call("FinalizeCacheEntryUpload", rights, {"key": key, "version": VERSION, "size_bytes": "4"})


def find(cache: ActionsCache, key: str, *more: str, rights: Rights = MAIN, version: str = VERSION) -> str | None:
    fields = {"key": key, "restore_keys": more, "version": version}
    answer, _ = cache.call("GetCacheEntryDownloadURL", rights, fields)
    return str(answer["matched_key"]) if answer["ok"] else None


def test_the_newest_wins_scope_by_scope_and_key_by_key() -> None:
    clock = Clock()
    cache = ActionsCache(clock)
    for key in ("a-1", "a-2", "b-1", "a"):
        clock.now += 1
        create(cache, key)
    assert find(cache, "a") == "a", "the exact key is better than a newer one with that prefix"
    assert find(cache, "a-") == "a-2"
    assert find(cache, "x", "b-", "a-") == "b-1"
    create(cache, "a-pull", PULL)
    assert find(cache, "a-1", "a-", rights=PULL) == "a-pull", "the own scope hides what the next one has"
    assert find(cache, "a-1", rights=Rights("2", MAIN.scopes)) is None
    assert find(cache, "a-1", version="1" * 64) is None


def test_an_entry_spreads_with_time() -> None:
    clock = Clock()
    cache = ActionsCache(clock, lag=10.0)
    create(cache, "a")
    assert find(cache, "a") is None
    clock.now += 1000.0
    assert find(cache, "a") == "a"


def test_a_limit_is_of_a_window() -> None:
    clock = Clock()
    cache = ActionsCache(clock, creations=2, look_ups=1)
    create(cache, "a")
    create(cache, "b")
    find(cache, "a")
    for method in cache.limits:
        with pytest.raises(CacheRefusalError) as refused:
            cache.call(method, MAIN, {"key": "c", "version": VERSION})
        assert (refused.value.status, refused.value.code) == (429, "resource_exhausted")
        assert 0 < refused.value.retry_after <= 61
    clock.now += 60.0
    create(cache, "c")
    assert cache.busiest_minute("CreateCacheEntry") == 3
    assert cache.count("GetCacheEntryDownloadURL") == 2


@pytest.mark.parametrize(
    ("method", "fields", "status"),
    [
        ("CreateCacheEntry", {"key": "", "version": VERSION}, 400),
        ("CreateCacheEntry", {"key": "x" * 513, "version": VERSION}, 400),
        ("CreateCacheEntry", {"key": "a", "version": "0" * 63}, 400),
        ("CreateCacheEntry", {"key": "taken", "version": VERSION}, 409),
        ("FinalizeCacheEntryUpload", {"key": "a", "version": VERSION, "size_bytes": "4"}, 404),
        ("FinalizeCacheEntryUpload", {"key": "taken", "version": VERSION, "size_bytes": "5"}, 404),
        ("FinalizeCacheEntryUpload", {"key": "taken", "version": VERSION, "size_bytes": "0"}, 400),
        ("ListCacheEntries", {"key": "a", "version": VERSION}, 404),
    ],
)
def test_what_is_refused(method: str, fields: dict[str, Any], status: int) -> None:
    cache = ActionsCache()
    create(cache, "taken")
    with pytest.raises(CacheRefusalError) as refused:
        cache.call(method, MAIN, fields)
    assert refused.value.status == status


def test_rights_of_a_token() -> None:
    assert rights_of(f"Bearer {runtime_token('1', PULL.scopes)}") == PULL
    for wrong in ("", "Bearer x", "Bearer a.b.c"):
        with pytest.raises(CacheRefusalError) as refused:
            rights_of(wrong)
        assert refused.value.status == 401


@pytest.fixture
async def server() -> AsyncIterator[ActionsCacheServer]:
    async with ActionsCacheServer() as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def ask(client: aiohttp.ClientSession, server: ActionsCacheServer, method: str, **fields: object) -> Any:
    headers = {"Authorization": f"Bearer {runtime_token('1', MAIN.scopes)}"}
    url = f"{server.url.rstrip('/')}{SERVICE}/{method}"
    async with client.post(url, json={"version": VERSION, **fields}, headers=headers) as answer:
        return await answer.json()


async def test_a_signed_url_is_for_one_use_and_a_while(
    server: ActionsCacheServer, client: aiohttp.ClientSession
) -> None:
    upload = (await ask(client, server, "CreateCacheEntry", key="a"))["signed_upload_url"]
    async with client.put(upload, data=b"0123456789") as answer:
        assert answer.status == 400, "without x-ms-blob-type"
    blob = {"x-ms-blob-type": "BlockBlob"}
    async with client.put(upload, data=b"0123456789", headers=blob) as answer:
        assert answer.status == 201
    assert (await ask(client, server, "FinalizeCacheEntryUpload", key="a", size_bytes="10"))["ok"]
    download = (await ask(client, server, "GetCacheEntryDownloadURL", key="a"))["signed_download_url"]
    for asked, status, body in (({}, 200, b"0123456789"), ({"Range": "bytes=2-4"}, 206, b"234")):
        async with client.get(download, headers=asked) as answer:
            assert (answer.status, await answer.read()) == (status, body)
    async with client.get(download, headers={"Range": "bytes=10-"}) as answer:
        assert answer.status == 416
    async with client.put(download, data=b"x", headers=blob) as answer:
        assert answer.status == 403
    server.expired = True
    async with client.get(download) as answer:
        assert answer.status == 403
    server.expired = False
    server.cache.evict()
    async with client.get(download) as answer:
        assert answer.status == 404


async def test_an_upload_may_come_in_blocks(server: ActionsCacheServer, client: aiohttp.ClientSession) -> None:
    upload = (await ask(client, server, "CreateCacheEntry", key="a"))["signed_upload_url"]
    for name, data in (("MQ==", b"one"), ("Mg==", b"two")):
        async with client.put(f"{upload}&comp=block&blockid={name}", data=data) as answer:
            assert answer.status == 201
    listed = "<BlockList><Latest>Mg==</Latest><Latest>MQ==</Latest></BlockList>"
    async with client.put(f"{upload}&comp=blocklist", data=listed) as answer:
        assert answer.status == 201
    assert (await ask(client, server, "FinalizeCacheEntryUpload", key="a", size_bytes="6"))["ok"]
    assert server.cache.saved()[0].data == b"twoone"


async def test_control_and_faults(server: ActionsCacheServer, client: aiohttp.ClientSession) -> None:
    fault = {"match": "*CreateCacheEntry", "status": 503, "body": "{}"}
    async with client.post(f"{server.url}_stand-in/fault", json=fault) as answer:
        assert answer.status == 200
    async with client.post(f"{server.url.rstrip('/')}{SERVICE}/CreateCacheEntry", json={}) as answer:
        assert answer.status == 503
    server.faults.add(Fault(match="*GetCacheEntryDownloadURL", cut_after=2))
    with pytest.raises(aiohttp.ClientError):
        await ask(client, server, "GetCacheEntryDownloadURL", key="a")
    create(server.cache, "b")
    async with client.get(f"{server.url}_stand-in/calls") as answer:
        counted = await answer.json()
    assert counted["calls"] == dict.fromkeys(
        ["CreateCacheEntry", "FinalizeCacheEntryUpload", "GetCacheEntryDownloadURL"], 1
    )
    assert counted["saved"] == [4]
    async with client.post(f"{server.url}_stand-in/evict") as answer:
        assert answer.status == 200
    assert server.cache.saved() == []
