"""Keys, conditions and bounds of an object store, over a stand-in for the client library."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError

from p2pcache.cache.codec import cid_of, cid_text
from p2pcache.stores.driver import StoreError
from p2pcache.stores.s3.object_driver import ObjectDriver

NAME = bytes(range(32))
SEALED = b"sealed"
CID = cid_of(SEALED)
DENIED = GenericError("Server returned non-2xx status code: 403 Forbidden: <Code>AccessDenied</Code>")
NO_CONDITIONS = GenericError("Server returned non-2xx status code: 501 Not Implemented: <Code>NotImplemented</Code>")


class Got:
    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self.read = False
        self.meta = {"size": size, "e_tag": f'"{hashlib.md5(data).hexdigest()}"', "version": None}

    async def bytes_async(self) -> bytes:
        self.read = True
        return self._data


class Store:
    """The part of `obstore.store.ObjectStore` that the driver uses, in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.modes: list[Any] = []
        self.failure: Exception | None = None
        self.on_put: Exception | None = None
        self.lasting = False
        self.size: int | None = None
        self.got: Got | None = None
        self.busy = self.busiest = 0

    async def get_async(self, key: str) -> Got:
        if self.failure:
            raise self.failure
        if key not in self.objects:
            raise FileNotFoundError(key)
        data = self.objects[key]
        self.got = Got(data, len(data) if self.size is None else self.size)
        return self.got

    async def put_async(self, key: str, data: bytes, *, mode: Any, use_multipart: bool) -> dict[str, Any]:
        assert use_multipart is False
        self.modes.append(mode)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await asyncio.sleep(0)
        self.busy -= 1
        if self.on_put:
            failure = self.on_put
            self.on_put = failure if self.lasting else None
            raise failure
        if mode == "create" and key in self.objects:
            raise AlreadyExistsError("412")
        if isinstance(mode, dict) and (
            key not in self.objects or mode["e_tag"] != Got(self.objects[key], 0).meta["e_tag"]
        ):
            raise PreconditionError("412")
        self.objects[key] = data
        return Got(data, 0).meta

    async def list(self, prefix: str, *, chunk_size: int) -> AsyncIterator[list[dict[str, str]]]:
        if self.failure:
            raise self.failure
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        for at in range(0, len(keys), chunk_size):
            yield [{"path": key} for key in keys[at : at + chunk_size]]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def driver(store: Store) -> AsyncIterator[ObjectDriver]:
    driver = ObjectDriver("the bucket example", lambda: nullcontext(store))
    await driver.open()
    yield driver
    await driver.close()


async def test_keys_are_the_text_forms_of_names_and_cids(store: Store, driver: ObjectDriver) -> None:
    await driver.put_blocks([(CID, SEALED)])
    assert await driver.put_record(NAME, b"record", None)
    assert set(store.objects) == {
        f"v1/b/{cid_text(CID)}",
        "v1/p/000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    }
    assert await driver.block(CID) == SEALED
    record = await driver.record(NAME)
    assert record is not None
    assert record.data == b"record"


async def test_a_record_is_replaced_in_place_of_the_version_that_was_read(store: Store, driver: ObjectDriver) -> None:
    assert await driver.put_record(NAME, b"1", None)
    assert not await driver.put_record(NAME, b"other", None), "another writer was first"
    record = await driver.record(NAME)
    assert record is not None
    version = await driver.put_record(NAME, b"2", record.version)
    assert not await driver.put_record(NAME, b"3", record.version)
    version = await driver.put_record(NAME, b"3", version)
    assert version
    store.objects.clear()
    assert not await driver.put_record(NAME, b"4", version), "it was deleted meanwhile"


@pytest.mark.parametrize("name", ["<Code>ConditionalRequestConflict</Code>", "status code: 409 Conflict"])
async def test_a_write_at_the_same_time_was_first(store: Store, driver: ObjectDriver, name: str) -> None:
    store.on_put = GenericError(name)
    assert not await driver.put_record(NAME, b"1", None)


async def test_without_conditional_writes_the_last_one_wins(store: Store, driver: ObjectDriver) -> None:
    store.on_put = NO_CONDITIONS
    assert await driver.put_record(NAME, b"1", None)
    assert await driver.put_record(NAME, b"2", None)
    assert store.modes == ["create", "overwrite", "overwrite"]
    assert store.objects.popitem()[1] == b"2"


async def test_without_versions_a_write_has_no_condition(store: Store, driver: ObjectDriver) -> None:
    assert await driver.put_record(NAME, b"1", "\n")
    assert store.modes == ["overwrite"]


async def test_only_the_records_that_are_there_are_looked_up(store: Store) -> None:
    store.objects = {f"v1/p/{NAME.hex()}": b"x", "v1/p/README": b"x", "v1/p/" + "AB" * 32: b"x"}
    driver = ObjectDriver("the bucket example", lambda: nullcontext(store))
    await driver.open()
    assert not driver.lacks(NAME)
    assert driver.lacks(b"o" * 32)
    await driver.put_record(b"o" * 32, b"record", None)
    assert not driver.lacks(b"o" * 32)
    store.objects.clear()
    assert await driver.record(NAME) is None
    assert driver.lacks(NAME)
    await driver.close()


async def test_a_write_whose_answer_is_lost_may_be_there(store: Store, driver: ObjectDriver) -> None:
    store.on_put = GenericError("HTTP error\nkind: Timeout")
    with pytest.raises(StoreError, match="no answer in time"):
        await driver.put_record(NAME, b"1", None)
    assert not driver.lacks(NAME)


async def test_what_is_larger_than_the_bound_is_not_read(store: Store, driver: ObjectDriver) -> None:
    await driver.put_blocks([(CID, SEALED)])
    store.size = driver.largest_block + 1
    assert await driver.block(CID) == b""
    assert store.got is not None
    assert not store.got.read
    await driver.put_record(NAME, b"record", None)
    store.size = driver.largest_record + 1
    record = await driver.record(NAME)
    assert record is not None
    assert record.data == b""


async def test_what_is_missing_is_nothing(driver: ObjectDriver) -> None:
    assert await driver.block(CID) is None
    assert await driver.record(NAME) is None


async def test_a_missing_bucket_is_not_a_missing_object(store: Store, driver: ObjectDriver) -> None:
    store.failure = FileNotFoundError("404 Not Found: <Code>NoSuchBucket</Code>")
    with pytest.raises(StoreError, match="no such bucket"):
        await driver.block(CID)
    store.on_put = store.failure
    with pytest.raises(StoreError, match="no such bucket"):
        await driver.put_blocks([(CID, SEALED)])


async def test_errors_are_sentences(store: Store, driver: ObjectDriver) -> None:
    store.failure = GenericError("status code: 500 Internal")
    for call in (driver.record(NAME), driver.block(CID), driver.open()):
        with pytest.raises(StoreError, match="it answers with status 500"):
            await call
    store.on_put = store.failure
    with pytest.raises(StoreError, match="it answers with status 500"):
        await driver.put_blocks([(CID, SEALED), (b"\x01" + CID[1:], SEALED)])


async def test_blocks_are_sent_a_few_at_once(store: Store, driver: ObjectDriver) -> None:
    blocks = [(cid_of(sealed), sealed) for sealed in (b"%d" % n for n in range(40))]
    await driver.put_blocks(blocks)
    assert len(store.objects) == 40
    assert 1 < store.busiest <= 8


async def test_who_may_only_read_goes_on_reading(
    store: Store, driver: ObjectDriver, caplog: pytest.LogCaptureFixture
) -> None:
    store.objects[f"v1/p/{NAME.hex()}"] = b"record"
    store.on_put, store.lasting = DENIED, True
    with caplog.at_level(logging.WARNING):
        await driver.put_blocks([(CID, SEALED), (b"\x01" + CID[1:], SEALED)])
    assert not driver.writable
    assert not await driver.put_record(NAME, b"1", None)
    await driver.put_blocks([(CID, SEALED)])
    assert len(store.modes) == 2, "nothing more is tried"
    assert await driver.record(NAME) is not None
    assert caplog.messages == [
        "the bucket example: the credentials do not allow to write: this node adds nothing there"
    ]


async def test_who_may_only_list_is_not_called_a_reader(
    store: Store, driver: ObjectDriver, caplog: pytest.LogCaptureFixture
) -> None:
    store.on_put, store.lasting, store.failure = DENIED, True, DENIED
    await driver.put_blocks([(CID, SEALED)])
    with pytest.raises(StoreError, match="the credentials do not allow it") as caught:
        await driver.block(CID)
    assert caught.value.lasting
    assert not any("read" in message for message in caplog.messages)


async def test_a_record_that_may_not_be_written(store: Store, driver: ObjectDriver) -> None:
    store.on_put = DENIED
    assert not await driver.put_record(NAME, b"1", None)
    assert not driver.writable


async def test_after_the_end_nothing_is_asked(driver: ObjectDriver) -> None:
    await driver.close()
    with pytest.raises(StoreError, match="closed"):
        await driver.block(CID)


async def test_what_connecting_raises_is_the_callers() -> None:
    def connect() -> AbstractAsyncContextManager[Any]:
        raise StoreError("no credentials", lasting=True)

    with pytest.raises(StoreError, match="no credentials"):
        await ObjectDriver("the bucket example", connect).open()


async def test_each_connection_ends_before_the_next_and_with_the_driver() -> None:
    events: list[str] = []

    @asynccontextmanager
    async def connect() -> AsyncIterator[Store]:
        events.append("opened")
        yield Store()
        events.append("closed")

    driver = ObjectDriver("the bucket example", connect)
    await driver.open()
    await driver.open()
    assert events == ["opened", "closed", "opened"]
    await driver.close()
    await driver.close()
    assert events == ["opened", "closed"] * 2
