"""The driver over a daemon in memory; tests/integration/stores has the real ones."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from p2pcache.backends import named
from p2pcache.cache.codec import cid_of, cid_text
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.tiers import Opening
from p2pcache.stores.driver import Record, StoreError
from p2pcache.stores.ipfs.ipfs_driver import VALID_SECONDS, IpfsDriver
from p2pcache.stores.ipfs.ipns import IpnsName, Published
from p2pcache.stores.ipfs.kubo import Kubo
from p2pcache.stores.ipfs.pins import Pins
from p2pcache.stores.ipfs.trustless import TrustlessGateway
from p2pcache.testing.conformance import KEYRING
from p2pcache.values import Secret

NEW = "Zx7-qL0_vT9mWc2RkYp4HsBn8Jd5"
OLD = "6b1f0c2a9d8e7f5041322314a5b6c7d8"
NOON = 1_795_262_400.0
NAME = b"n" * 32
BLOCKS = [(cid_of(data), data) for data in (b"one", b"two")]


class MemoryKubo(Kubo):
    def __init__(self, why: str = "") -> None:
        super().__init__("http://daemon", "")
        self.why = why
        self.records: dict[str, bytes] = {}
        self.blocks: dict[str, bytes] = {}
        self.elsewhere: dict[str, bytes] = {}
        self.archives: list[bytes] = []
        self.failing: StoreError | None = None

    async def open(self) -> str:
        return self.why

    async def record(self, name: str) -> bytes | None:
        return self.records.get(name)

    async def put_record(self, name: str, record: bytes) -> bool:
        self.records[name] = record
        return True

    async def block(self, cid: str) -> bytes | None:
        return self.blocks.get(cid)

    async def fetch(self, cid: str) -> bytes | None:
        if self.failing:
            raise self.failing
        return self.elsewhere.get(cid)

    async def put_block(self, data: bytes) -> None:
        self.blocks[cid_text(cid_of(data))] = data

    async def put_archive(self, car: bytes) -> None:
        self.archives.append(car)


class MemoryGateway(TrustlessGateway):
    def __init__(self) -> None:
        super().__init__("http://gateway")
        self.failing: StoreError | None = None
        self.records: dict[str, bytes] = {}
        self.blocks: dict[str, bytes] = {}

    async def record(self, name: str) -> bytes | None:
        if self.failing:
            raise self.failing
        return self.records.get(name)

    async def block(self, cid: str, most: int) -> bytes | None:
        return self.blocks.get(cid)


class MemoryPins(Pins):
    def __init__(self, kubo: Kubo) -> None:
        super().__init__(kubo, "")
        self.roots: list[str] = []
        self.expired = 0

    async def add(self, root: str) -> None:
        self.roots.append(root)

    async def expire(self) -> None:
        self.expired += 1
        await asyncio.Event().wait()


def over(
    kubo: Kubo | None, *gateways: TrustlessGateway, pins: Pins | None = None, keyring: Keyring = KEYRING
) -> IpfsDriver:
    return IpfsDriver(keyring, kubo, gateways, pins or (MemoryPins(kubo) if kubo else None), "it", lambda: NOON)


def signed(sequence: int, data: bytes, until: float = NOON + 60, keyring: Keyring = KEYRING) -> tuple[str, bytes]:
    name = IpnsName(keyring.record_seeds(NAME)[0])
    return str(name), name.sign(Published(sequence, data), until)


class TestRecords:
    async def test_what_was_written_is_read_with_its_version(self) -> None:
        driver = over(MemoryKubo())
        assert await driver.record(NAME) is None
        first = await driver.put_record(NAME, b"one", None)
        assert first is not None
        assert await driver.record(NAME) == Record(b"one", first)
        second = await driver.put_record(NAME, b"two", first)
        assert second == str(int(first) + 1)
        assert await driver.record(NAME) == Record(b"two", second)

    async def test_two_that_saw_none_write_the_same_version(self) -> None:
        assert await over(MemoryKubo()).put_record(NAME, b"one", None) == await over(MemoryKubo()).put_record(
            NAME, b"two", None
        )

    async def test_and_a_higher_one_than_a_record_that_expired(self) -> None:
        kubo = MemoryKubo()
        name, record = signed(int(NOON - VALID_SECONDS) // 86_400 << 20, b"old", NOON - 1)
        kubo.records[name] = record
        driver = over(kubo)
        assert await driver.record(NAME) is None
        version = await driver.put_record(NAME, b"new", None)
        assert version is not None
        assert int(version) > int(NOON - VALID_SECONDS) // 86_400 << 20

    async def test_one_that_another_writer_replaced_is_not_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def refuse(*_: object) -> bool:
            return False

        monkeypatch.setattr(MemoryKubo, "put_record", refuse)
        assert await over(MemoryKubo()).put_record(NAME, b"one", "4") is None

    async def test_where_there_is_a_daemon_no_gateway_is_asked(self) -> None:
        gateway = MemoryGateway()
        gateway.records = dict([signed(5, b"found")])
        assert await over(MemoryKubo(), gateway).record(NAME) is None
        assert await over(None, gateway).record(NAME) == Record(b"found", "5")

    async def test_a_forged_or_expired_one_is_none(self) -> None:
        liar, late, right = MemoryGateway(), MemoryGateway(), MemoryGateway()
        name, record = signed(4, b"right")
        right.records[name] = record
        liar.records[name] = signed(9, b"forged", keyring=Keyring.from_secrets([NEW]))[1]
        late.records[name] = signed(9, b"expired", NOON - 1)[1]
        assert await over(None, liar, late).record(NAME) is None
        assert await over(None, liar, late, right).record(NAME) == Record(b"right", "4")

    async def test_a_failure_counts_where_no_gateway_answered(self) -> None:
        failing, gateway = MemoryGateway(), MemoryGateway()
        failing.failing = gateway.failing = StoreError("it is away")
        with pytest.raises(StoreError, match="it is away"):
            await over(None, failing, gateway).record(NAME)
        gateway.failing = None
        driver = over(None, failing, gateway)
        assert await driver.record(NAME) is None
        gateway.records = dict([signed(5, b"found")])
        assert await driver.record(NAME) == Record(b"found", "5")

    async def test_what_was_published_under_an_older_secret_is_found(self) -> None:
        kubo = MemoryKubo()
        assert await over(kubo, keyring=Keyring.from_secrets([OLD])).put_record(NAME, b"old", None)
        found = await over(kubo, keyring=Keyring.from_secrets([NEW, OLD])).record(NAME)
        assert found is not None
        assert found.data == b"old"
        assert await over(kubo, keyring=Keyring.from_secrets([NEW])).record(NAME) is None


class TestBlocks:
    async def test_one_is_stored_and_pinned_by_itself(self) -> None:
        kubo = MemoryKubo()
        pins = MemoryPins(kubo)
        driver = over(kubo, pins=pins)
        await driver.put_blocks(BLOCKS[:1])
        assert await driver.block(BLOCKS[0][0]) == b"one"
        assert pins.roots == [cid_text(BLOCKS[0][0])]
        await driver.close()

    async def test_several_are_one_archive_and_one_pin(self) -> None:
        kubo = MemoryKubo()
        pins = MemoryPins(kubo)
        driver = over(kubo, pins=pins)
        await driver.put_blocks(BLOCKS)
        await driver.put_blocks(BLOCKS)
        assert all(cid + data in kubo.archives[0] for cid, data in BLOCKS)
        assert len(set(pins.roots)) == 1
        assert pins.roots[0].startswith("bafyrei")
        await asyncio.sleep(0)
        assert pins.expired == 1, "once for a node"
        await driver.close()

    async def test_a_gateway_has_what_the_daemon_lacks(self) -> None:
        liar, gateway = MemoryGateway(), MemoryGateway()
        cid, data = BLOCKS[0]
        liar.blocks[cid_text(cid)] = b"other bytes"
        driver = over(MemoryKubo(), liar, gateway)
        assert await driver.block(cid) == b"other bytes", "the tier refuses them, and counts it"
        gateway.blocks[cid_text(cid)] = data
        assert await driver.block(cid) == data

    async def test_so_may_another_daemon(self) -> None:
        kubo = MemoryKubo()
        cid, data = BLOCKS[0]
        assert await over(kubo).block(cid) is None
        kubo.elsewhere[cid_text(cid)] = data
        assert await over(kubo).block(cid) == data

    async def test_a_failure_counts_where_nothing_was_found(self) -> None:
        kubo, gateway = MemoryKubo(), MemoryGateway()
        kubo.failing = StoreError("it is away")
        cid, data = BLOCKS[0]
        with pytest.raises(StoreError, match="it is away"):
            await over(kubo, gateway).block(cid)
        gateway.blocks[cid_text(cid)] = data
        assert await over(kubo, gateway).block(cid) == data


async def test_gateways_alone_are_only_read() -> None:
    gateway = MemoryGateway()
    gateway.blocks = {cid_text(cid): data for cid, data in BLOCKS}
    driver = over(None, gateway)
    await driver.open()
    assert await driver.block(BLOCKS[1][0]) == b"two"
    assert not driver.writable
    with pytest.raises(StoreError, match="only be read"):
        await driver.put_blocks(BLOCKS)
    await driver.close()


async def test_the_log_says_once_that_a_daemon_is_used_offline(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    driver = over(MemoryKubo("it is on the public network"))
    await driver.open()
    await driver.open()
    sentence = "ipfs: it is used with offline=true: it is on the public network"
    assert [record.getMessage() for record in caplog.records] == [sentence]


def test_nothing_is_known_to_be_absent() -> None:
    assert not over(None).lacks(NAME)


def opened(**options: Any) -> Any:
    given = {"ipfs_api": "", "ipfs_token": Secret(""), "ipfs_gateways": (), "ipfs_pin_service": "", **options}
    return named("ipfs").open(Opening(given, Path("/"), KEYRING))


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({}, "the daemon at http://127.0.0.1:5001"),
        ({"ipfs_api": "http://kubo:5001", "ipfs_gateways": ("https://a",)}, "the daemon at http://kubo:5001"),
        ({"ipfs_gateways": ("https://a",)}, "the gateway https://a"),
        ({"ipfs_gateways": ("https://a", "https://b")}, "the gateways https://a, https://b"),
    ],
)
async def test_the_settings_decide_what_is_used(options: dict[str, Any], where: str) -> None:
    tier = opened(**options)
    assert tier._driver.where == where
    assert tier._driver.writable is where.startswith("the daemon")
    await tier.close()


async def test_a_pinning_service_without_a_daemon_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    await opened(ipfs_gateways=("https://a",), ipfs_pin_service="web").close()
    assert [record.getMessage() for record in caplog.records] == [
        "CACHE_IPFS_PIN_SERVICE is ignored: a daemon pins, and CACHE_IPFS_API names none"
    ]
