"""Blocks and records in an object store: ``v1/b/<CID>`` and ``v1/p/<the resource's name in hexadecimal digits>``.

Hexadecimal, so that keys have the order of the names, which makes a listing that ends early exact up to its end.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from p2pcache.cache.codec import MAX_BLOCK, cid_text
from p2pcache.stores.bundle import MAX_BUNDLE
from p2pcache.stores.driver import Record, StoreError
from p2pcache.stores.s3.object_errors import code, explained
from p2pcache.stores.s3.record_names import Page, Pages, RecordNames

_log = logging.getLogger(__name__)

BLOCKS, RECORDS = "v1/b/", "v1/p/"
PAGE = 1000
"""Names of one LIST request; S3 gives no more."""
AT_ONCE = 8
"""Uploads."""
_NAME = re.compile(rf"{RECORDS}([0-9a-f]{{64}})")
_ERRORS = (BaseError, OSError)
UNCONDITIONAL = {"NotImplemented", "NotSupported", "501"}
"""Answers of a store that has no conditional PUT."""
CONFLICTS = {"ConditionalRequestConflict", "409"}
"""Answers to one of two conditional PUTs at the same time."""
_NOT_WRITABLE = "the credentials do not allow to write: this node adds nothing there"
DENIED = {"AccessDenied", "AllAccessDisabled", "403"}
"""Answers to credentials that do not allow what was asked."""


class ObjectDriver:
    """Implements `driver.Driver` by the client library obstore.

    Args:
        where: for the log.
        connect: opens the library's store, until the driver closes it; may raise `StoreError`.
    """

    largest_block = MAX_BLOCK
    largest_record = MAX_BUNDLE

    def __init__(self, where: str, connect: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self.where = where
        self.writable = True
        self._connect = connect
        self._connection = AsyncExitStack()
        self._store: Any = None
        self._conditional = True
        self._names = RecordNames(self._pages)
        self._uploads = asyncio.Semaphore(AT_ONCE)

    async def open(self) -> None:
        """Connect, and list the first names."""
        await self.close()
        self._store = await self._connection.enter_async_context(self._connect())
        await self._names.open()

    def lacks(self, name: bytes) -> bool:
        """Return whether no record of this name was there when last looked."""
        return self._names.lacks(name)

    async def record(self, name: bytes) -> Record | None:
        """Return the record of a resource, or None."""
        found = await self._get(_record_key(name), self.largest_record)
        if found is None:
            self._names.gone(name)
            return None
        data, meta = found
        return Record(data, version_of(meta))

    async def put_record(self, name: bytes, data: bytes, version: str | None) -> str | None:
        """Write the record in place of `version`; None where another writer was first, or nothing may be written."""
        self._names.writing(name)  # before it is: an upload whose answer is lost may have been stored
        mode = mode_of(version) if self._conditional else "overwrite"
        try:
            return await self._put(_record_key(name), data, mode)
        except (AlreadyExistsError, PreconditionError):
            return None
        except BaseError as error:
            if code(error) in CONFLICTS:
                return None
            if not self._conditional or code(error) not in UNCONDITIONAL:
                raise explained(error) from None
            _log.debug("%s has no conditional PUT: the last writer of a record wins", self.where)
            self._conditional = False
            return await self.put_record(name, data, version)

    async def block(self, cid: bytes) -> bytes | None:
        """Return the bytes kept under a CID, or None."""
        found = await self._get(BLOCKS + cid_text(cid), self.largest_block)
        return found[0] if found else None

    async def put_blocks(self, blocks: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep blocks, side by side."""
        puts = (self._put_block(BLOCKS + cid_text(cid), sealed) for cid, sealed in blocks)
        for result in await asyncio.gather(*puts, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def close(self) -> None:
        """End a listing that is under way, and disconnect."""
        await self._names.close()
        self._store = None
        await self._connection.aclose()

    # Calls of the service

    async def _get(self, key: str, most: int) -> tuple[bytes, Any] | None:
        """Return an object and its metadata; without its bytes, where there are more than `most`."""
        try:
            result = await self._opened.get_async(key)
            if result.meta["size"] > most:
                return b"", result.meta
            return bytes(await result.bytes_async()), result.meta
        except FileNotFoundError as error:
            if code(error) == "NoSuchBucket":
                raise explained(error) from None
            return None
        except _ERRORS as error:
            raise explained(error) from None

    async def _put_block(self, key: str, sealed: bytes) -> None:
        async with self._uploads:
            try:
                await self._put(key, sealed, "overwrite")
            except BaseError as error:
                raise explained(error) from None

    async def _put(self, key: str, data: bytes, mode: Any) -> str | None:
        """Upload an object and return its version; None, and no upload, where the credentials do not allow it."""
        if not self.writable:
            return None
        try:
            return version_of(await self._opened.put_async(key, data, mode=mode, use_multipart=False))
        except FileNotFoundError as error:
            raise explained(error) from None
        except BaseError as error:
            if code(error) not in DENIED:
                raise
            if self.writable:
                self.writable = False
                _log.warning("%s: %s", self.where, _NOT_WRITABLE)
            return None

    async def _pages(self) -> Pages:
        try:
            async for page in self._opened.list(RECORDS, chunk_size=PAGE):
                names = [bytes.fromhex(key[1]) for item in page if (key := _NAME.fullmatch(item["path"]))]
                yield Page(names, last=len(page) < PAGE)
        except _ERRORS as error:
            raise explained(error) from None

    @property
    def _opened(self) -> Any:
        if self._store is None:
            raise StoreError("it is closed")
        return self._store


def _record_key(name: bytes) -> str:
    return RECORDS + name.hex()


def version_of(meta: Any) -> str:
    """Return the version in an object's metadata: its tag, and its number where the bucket keeps versions."""
    return f"{meta['e_tag'] or ''}\n{meta['version'] or ''}"


def mode_of(version: str | None) -> Any:
    """Return the condition of a PUT: nothing there, or this version; none where the store gives no versions."""
    if version is None:
        return "create"
    e_tag, _, number = version.partition("\n")
    fields = {name: value for name, value in (("e_tag", e_tag), ("version", number)) if value}
    return fields or "overwrite"
