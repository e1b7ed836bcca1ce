"""The store over real Kubo daemons: what they keep, what they refuse, and how they are asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from p2pcache.cache.codec import cid_of, cid_text
from p2pcache.cache.sealing import Keyring
from p2pcache.stores.driver import StoreError
from p2pcache.stores.ipfs.ipns import IpnsName, Published
from p2pcache.stores.ipfs.kubo import LARGEST_BLOCK, Kubo, _form
from p2pcache.stores.store_tier import StoreTier
from p2pcache.testing.conformance import TierConformance, make
from tests.integration.stores.ipfs.conftest import MARKS, found, over, until
from tests.support.ipfs import Daemon
from tests.support.s3_server import Answer, FaultProxy

pytestmark = MARKS

NEEDED = ("block", "name", "pin", "dag/import", "config/show")
"""The paths that docs/ipfs.md has a token be good for."""
UNREACHABLE = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWGRYZDHBembyGJQqQ6WgLqJWYNjnECJwGBnCg8vbCeo8F"
"""A bootstrap address, which makes a daemon count as part of the public network."""


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("other"))
    yield daemon
    daemon.kill()


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("public"), Bootstrap=[UNREACHABLE], Provide__Enabled=False)
    yield daemon
    daemon.kill()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    allowed = {"AuthSecret": "bearer:right", "AllowedPaths": [f"/api/v0/{path}" for path in NEEDED]}
    daemon = Daemon(tmp_path_factory.mktemp("guarded"), API__Authorizations={"p2pcache": allowed})
    yield daemon
    daemon.kill()


class Recorded(FaultProxy):
    """A proxy that breaks nothing, and keeps what was asked."""

    def __init__(self, url: str) -> None:
        super().__init__(url, self._record)
        self.requests: list[tuple[str, str]] = []

    async def _record(self, request: web.Request, answer: Answer) -> Answer:
        self.requests.append((request.path, request.query.get("offline", "")))
        return answer


class TestPrivateDaemon(TierConformance):
    """One that only its own peers can reach."""

    @pytest.fixture
    async def tier(self, daemon: Daemon, names: Keyring) -> AsyncIterator[StoreTier]:
        daemon.empty()
        async with over(names, daemon.api) as tier:
            yield tier


class TestPublicDaemon(TierConformance):
    """One that is part of the public network, as far as it knows."""

    @pytest.fixture
    async def tier(self, public: Daemon, names: Keyring) -> AsyncIterator[StoreTier]:
        public.empty()
        async with over(names, public.api) as tier:
            yield tier

    async def test_it_is_used_as_a_store_alone_and_the_log_says_so(
        self, public: Daemon, names: Keyring, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        async with Recorded(public.api) as proxy, over(names, proxy.address) as tier:
            kept = make("/public")
            await tier.store(kept.pointer, kept.sealed)
            assert await found(tier, kept) == ([kept.pointer], kept.sealed)
            assert await found(tier, make("/never stored", body=b"never stored")) == ([], None)
            assert {path for path, offline in proxy.requests if offline != "true"} == {
                "/api/v0/version",
                "/api/v0/config/show",
            }
        said = "ipfs: the daemon is used with offline=true: it is on the public network (its Bootstrap is not empty)"
        assert said in caplog.messages


async def test_what_one_fleet_stored_another_finds(daemon: Daemon, names: Keyring) -> None:
    kept = [make(f"/{number}", body=b"%d" % number * 500) for number in range(100)]
    async with over(names, daemon.api) as first:
        await asyncio.gather(*(first.store(each.pointer, each.sealed) for each in kept))
        assert (first.report()["lost"], first.report()["why"]) == (0, "")
    async with over(names, daemon.api) as second:
        assert [await found(second, each) for each in kept] == [([each.pointer], each.sealed) for each in kept]


async def test_two_writers_of_a_resource_lose_nothing(daemon: Daemon, names: Keyring) -> None:
    entries = [make(scope=f"token:{number}") for number in range(2)]
    async with over(names, daemon.api) as one, over(names, daemon.api) as two:
        for tier in (one, two):
            assert await tier.find(entries[0].pointer.name) == ()
        for tier, kept in zip((one, two), entries, strict=True):
            await tier.store(kept.pointer, kept.sealed)
    async with over(names, daemon.api) as third:
        assert set(await third.find(entries[0].pointer.name)) == {kept.pointer for kept in entries}


async def test_the_largest_block_is_kept_and_no_larger_one_sent(daemon: Daemon, names: Keyring) -> None:
    largest = bytes(LARGEST_BLOCK)
    async with over(names, daemon.api) as tier:
        await tier._driver.put_blocks([(cid_of(largest), largest)])
        assert await tier._driver.block(cid_of(largest)) == largest
        calls = tier.report()["calls"]
        await tier.store(make().pointer, largest + b"x")
        assert tier.report()["calls"] == calls


async def test_forged_and_replayed_records_are_ignored(daemon: Daemon, names: Keyring) -> None:
    old, new = make(), make(body=b"new", proved_at=200_000.0)
    name = str(IpnsName(names.record_seeds(new.pointer.name)[0]))
    kubo = Kubo(daemon.api, "")
    async with over(names, daemon.api) as tier:
        await tier.store(old.pointer, old.sealed)
        replayed = await kubo.record(name)
        await tier.store(new.pointer, new.sealed)
        assert replayed is not None
        assert not await kubo.put_record(name, replayed)
        with pytest.raises(StoreError):
            await kubo.put_record(name, IpnsName(bytes(32)).sign(Published(2**40, b"forged"), 4e9))
        for record in (replayed, IpnsName(bytes(32)).sign(Published(2**40, b"forged"), 4e9)):
            await kubo._call("/name/put", [("arg", name), ("force", "true")], seconds=5, body=_form(record))
    await kubo.close()
    async with over(names, daemon.api) as tier:
        assert list(await tier.find(new.pointer.name)) == [new.pointer]


class TestTwoDaemons:
    async def test_apart_and_joined(self, daemon: Daemon, other: Daemon, names: Keyring) -> None:
        kept, later = make("/apart", body=b"apart" * 100), make("/apart", scope="token:1", body=b"later" * 100)
        async with over(names, daemon.api) as here, over(names, other.api) as there:
            other.empty()
            await here.store(kept.pointer, kept.sealed)
            assert await there.find(kept.pointer.name) == ()
            daemon.connect(other)
            await until(lambda: there.find(kept.pointer.name), [kept.pointer])
            assert await there.block(kept.pointer) == kept.sealed
            await there.store(later.pointer, later.sealed)
        async with over(names, daemon.api) as here:
            await until(lambda: here.find(kept.pointer.name), [kept.pointer, later.pointer])
            assert await here.block(later.pointer) == later.sealed
        daemon.disconnect(other)
        async with over(names, other.api) as there:
            assert set(await there.find(kept.pointer.name)) == {kept.pointer, later.pointer}

    async def test_records_survive_a_restart_and_a_collection(self, tmp_path: Path, names: Keyring) -> None:
        daemon = Daemon(tmp_path / "restarted")
        kept = make()
        try:
            async with over(names, daemon.api) as tier:
                await tier.store(kept.pointer, kept.sealed)
            daemon.collect()
            daemon.stop()
            daemon.start()
            async with over(names, daemon.api) as tier:
                assert await found(tier, kept) == ([kept.pointer], kept.sealed)
        finally:
            daemon.kill()


async def test_a_gateway_is_enough_to_read(daemon: Daemon, names: Keyring) -> None:
    kept = make("/read by a gateway", body=b"x" * 5000)
    async with over(names, daemon.api) as tier:
        await tier.store(kept.pointer, kept.sealed)
    async with Recorded(daemon.gateway) as proxy, over(names, "", proxy.address) as reader:
        assert await found(reader, kept) == ([kept.pointer], kept.sealed)
        assert await reader.find(make("/nothing there").pointer.name) == ()
        calls = reader.report()["calls"]
        await reader.store(make("/other").pointer, make("/other").sealed)
        assert (reader.report()["calls"], reader.report()["state"]) == (calls, "closed")
        assert {path.split("/")[1] for path, _ in proxy.requests} == {"ipfs", "ipns"}


class TestPins:
    async def test_what_is_pinned_today_survives_a_collection(self, daemon: Daemon, names: Keyring) -> None:
        daemon.empty()
        kept = [make(f"/{number}", body=b"%d" % number * 500) for number in range(5)]
        async with over(names, daemon.api) as tier:
            await asyncio.gather(*(tier.store(each.pointer, each.sealed) for each in kept))
        assert all(name.startswith("p2pcache/20") for name in daemon.pins().values())
        assert len(daemon.pins()) <= 2, "one for the first, one for those that came meanwhile"
        daemon.collect()
        async with over(names, daemon.api) as tier:
            assert [await tier.block(each.pointer) for each in kept] == [each.sealed for each in kept]

    async def test_what_was_pinned_long_ago_goes_when_something_is_stored(self, daemon: Daemon, names: Keyring) -> None:
        daemon.empty()
        old, new = make("/old", body=b"old" * 300), make("/new", body=b"new" * 300)
        kubo = Kubo(daemon.api, "")
        await kubo.put_block(old.sealed)
        await kubo.pin(cid_text(old.pointer.cid), "p2pcache/2020-01-01")
        async with over(names, daemon.api) as tier:
            await tier.store(new.pointer, new.sealed)
            await until(lambda: kubo.pins("p2pcache/2020", 1 << 20), [])
        await kubo.close()
        daemon.collect()
        async with over(names, daemon.api) as tier:
            assert await tier._driver.block(old.pointer.cid) is None
            assert await tier.block(new.pointer) == new.sealed


class TestAuthorization:
    async def test_the_paths_that_the_documents_name_are_enough(self, guarded: Daemon, names: Keyring) -> None:
        kept = [make(f"/{number}", body=b"%d" % number * 500) for number in range(5)]
        async with over(names, guarded.api, token="right") as tier:
            await asyncio.gather(*(tier.store(each.pointer, each.sealed) for each in kept))
            assert tier.report()["state"] == "closed"
        async with over(names, guarded.api, token="right") as tier:
            assert [await found(tier, each) for each in kept] == [([each.pointer], each.sealed) for each in kept]

    @pytest.mark.parametrize("token", ["", "wrong"])
    async def test_a_wrong_token_is_one_sentence(
        self, guarded: Daemon, names: Keyring, token: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with over(names, guarded.api, token=token) as tier:
            for number in range(5):
                assert await tier.find(make(f"/{number}").pointer.name) == ()
            assert tier.report()["state"] == "open"
        (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert "it refuses /version: see CACHE_IPFS_TOKEN" in record.getMessage()
