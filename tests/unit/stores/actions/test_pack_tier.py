import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from p2pcache import backends
from p2pcache.backends.actions import BACKEND
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.tiers import Authorized, Opening, Remote, Tier
from p2pcache.clock import unix_time
from p2pcache.stores.actions.cache_service import DeniedError
from p2pcache.stores.actions.pack_tier import PackTier
from p2pcache.testing.actions_cache import ActionsCache
from p2pcache.testing.actions_cache_server import ActionsCacheServer
from p2pcache.testing.conformance import KEYRING, TierConformance, make
from p2pcache.values import Secret
from tests.support import virtual_time
from tests.support.distant_cache import DistantCache, connecting
from tests.support.fleet import until
from tests.unit.stores.actions.conftest import MAIN, ON_MAIN

STORED = make(proved_at=unix_time())


class TestAsleep(TierConformance):
    """Before the credentials come it is a tier like any other, in memory."""

    @pytest.fixture
    async def tier(self) -> AsyncIterator[Tier]:
        tier = PackTier(KEYRING)
        yield tier
        await tier.close()


class TestAtWork(TierConformance):
    """And so it is while its packs are read and written."""

    @pytest.fixture
    async def tier(self, server: ActionsCacheServer) -> AsyncIterator[Tier]:
        tier = PackTier(KEYRING, clock=lambda: 5000.0)
        await tier.authorize(server.url, ON_MAIN)
        yield tier
        await tier.close()


def opening(keyring: Keyring) -> Opening:
    return Opening({}, Path("/nonexistent"), keyring)


def test_it_is_opened_by_its_name() -> None:
    tier = backends.named("actions").open(opening(KEYRING))
    assert isinstance(tier, PackTier)
    assert isinstance(tier, Authorized)
    assert isinstance(tier, Remote)
    assert not BACKEND.default
    assert not BACKEND.droppable


async def test_without_credentials_nobody_is_asked() -> None:
    def never(_url: str, _token: Secret) -> DistantCache:
        raise AssertionError

    tier = PackTier(KEYRING, connect=never)
    await tier.open()
    tier.late()
    assert await tier.find(STORED.pointer.name) == []
    await tier.store(STORED.pointer, STORED.sealed)
    assert (tier.trouble, tier.report()["calls"], tier.report()["waiting"]) == ("", 0, 1)
    await tier.close()


async def test_what_was_stored_before_the_credentials_came_is_written(server: ActionsCacheServer) -> None:
    tier = PackTier(KEYRING)
    await tier.store(STORED.pointer, STORED.sealed)
    await tier.authorize(server.url, ON_MAIN)
    await tier.close()
    assert len(server.cache.saved()) == 1


async def test_two_nodes_that_never_meet_share_through_it(server: ActionsCacheServer) -> None:
    one, two = PackTier(KEYRING), PackTier(KEYRING)
    await one.authorize(server.url, ON_MAIN)
    await one.store(STORED.pointer, STORED.sealed)
    await one.close()
    await two.authorize(server.url, ON_MAIN)

    async def arrived() -> bool:
        return await two.find(STORED.pointer.name) == [STORED.pointer]

    await until(arrived, "the pack")
    assert await two.block(STORED.pointer) == STORED.sealed
    assert two.report()["state"] == "closed"
    await two.close()


async def test_credentials_that_cannot_be_used_change_nothing(server: ActionsCacheServer) -> None:
    tier = PackTier(KEYRING)
    with pytest.raises(ValueError):
        await tier.authorize("http://elsewhere.example/", ON_MAIN)
    with pytest.raises(ValueError):
        await tier.authorize(server.url, Secret("no token"))
    assert tier.report()["calls"] == 0
    await tier.authorize(server.url, ON_MAIN)
    await tier.close()


def virtually(test: Callable[[ActionsCache], object]) -> None:
    async def main() -> None:
        await test(ActionsCache(asyncio.get_running_loop().time))  # type: ignore[misc]  # it is a coroutine

    virtual_time.run(main())


def test_newer_credentials_replace_the_older_ones_and_the_same_change_nothing() -> None:
    async def test(cache: ActionsCache) -> None:
        expired, good = DistantCache(cache, {MAIN: 3}), DistantCache(cache, {MAIN: 3})
        expired.failures["GetCacheEntryDownloadURL"] = [DeniedError("GetCacheEntryDownloadURL: status 401")]
        tier = PackTier(KEYRING, connect=connecting(expired, good))
        await tier.authorize("u", Secret("one"))
        await asyncio.sleep(1)
        trouble = "actions: GetCacheEntryDownloadURL: status 401"
        assert (tier.trouble, tier.report()["state"], tier.report()["why"]) == (trouble, "open", trouble[9:])
        await tier.authorize("u", Secret("one"))
        await tier.authorize("u", Secret("two"))
        await asyncio.sleep(1)
        assert (tier.trouble, expired.closed, good.closed) == ("", True, False)
        await tier.close()
        await tier.authorize("u", Secret("three"))
        assert good.closed

    virtually(test)


def test_no_request_waits_for_the_service() -> None:
    async def test(cache: ActionsCache) -> None:
        now = asyncio.get_running_loop().time
        tier = PackTier(KEYRING, connect=connecting(DistantCache(cache, {MAIN: 3}, latency=3600.0)))
        begun = now()
        await tier.authorize("u", ON_MAIN)
        await tier.find(STORED.pointer.name)
        await tier.store(STORED.pointer, STORED.sealed)
        await tier.block(STORED.pointer)
        await tier.drop(STORED.pointer.topics)
        assert now() == begun
        await tier.close()

    virtually(test)


def test_once_closed_it_has_nothing() -> None:
    async def test(cache: ActionsCache) -> None:
        tier = PackTier(KEYRING, connect=connecting(DistantCache(cache, {MAIN: 3})))
        await tier.store(STORED.pointer, STORED.sealed)
        await tier.close()
        await tier.store(STORED.pointer, STORED.sealed)
        assert await tier.find(STORED.pointer.name) == ()
        assert await tier.block(STORED.pointer) is None

    virtually(test)


def test_neither_token_nor_url_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def test(cache: ActionsCache) -> None:
        tier = PackTier(KEYRING, connect=connecting(DistantCache(cache, {MAIN: 3})))
        await tier.authorize("https://results.example/", Secret("a-token"))
        await asyncio.sleep(1)
        assert "a-token" not in f"{tier.report()} {vars(tier)}"
        await tier.close()

    virtually(test)
    assert "a-token" not in caplog.text
