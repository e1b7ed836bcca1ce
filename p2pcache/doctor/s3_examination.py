"""Check 10, the backend s3: credentials, region, clock, and an object that is put, replaced, read and deleted."""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, warned
from p2pcache.doctor.server_clock import skew_of
from p2pcache.stores.driver import StoreError
from p2pcache.stores.s3.bucket import connected, endpoint_of, place_of, region_of
from p2pcache.stores.s3.object_errors import code, explained
from p2pcache.stores.s3.s3_credentials import credential_source
from p2pcache.values import BucketName

FOLDER = "doctor/"
"""Below the configured prefix, beside the ``v1/`` of the entries."""
_MOST_SKEW, _WORTH_A_WARNING = 900.0, 60.0
"""Seconds: S3 refuses requests that are signed more than 15 minutes off its own time."""
_MENDED = "docs/s3.md has a table of what each sentence is mended by"
_POLICY = "allow s3:PutObject, s3:GetObject and s3:DeleteObject below doctor/ too (docs/s3.md#policy)"


async def examine(patient: Patient) -> list[CheckFinding]:
    """Examine the bucket of the settings."""
    options, environ = patient.settings.options, patient.environ
    bucket: BucketName | None = options["s3_bucket"]
    if bucket is None:
        return [failed("s3: no bucket is named", "set CACHE_S3_BUCKET to its name")]
    try:
        endpoint, region = endpoint_of(options, environ), region_of(options, environ)
        source = credential_source(options, environ)
    except (StoreError, ValueError) as error:
        return [failed(f"s3: {error}", _MENDED)]
    place = place_of(bucket, endpoint, region)
    found = [passed(f"s3: the bucket {bucket.name} at {place}, region {region}, credentials: {source}")]
    if not _private(place):
        advice = "name the endpoint by https:"
        found.append(warned(f"s3: {place} shows object names and the session token to everybody on the way", advice))
    found.append(_clock(await skew_of(place, patient.seconds)))
    try:
        found += await _tried(bucket, endpoint, options, environ)
    except StoreError as error:
        advice = f"see that it answers: curl -sS -o /dev/null -w '%{{http_code}}' {place}; {_MENDED}"
        found.append(failed(f"s3: {error}", advice))
    return found


def _private(place: str) -> bool:
    parts = urlsplit(place)
    try:
        return parts.scheme == "https" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"


def _clock(skew: float | None) -> CheckFinding:
    if skew is None:
        return warned("s3: the endpoint does not tell its time", "check that the endpoint can be reached from here")
    if abs(skew) > _WORTH_A_WARNING:
        ahead = "ahead of" if skew > 0 else "behind"
        found = f"s3: the endpoint's clock is {abs(skew):.0f} s {ahead} this machine's"
        if abs(skew) > _MOST_SKEW:
            return failed(f"{found}: it refuses every request", "set this machine's clock by NTP")
        return warned(f"{found}: beyond {_MOST_SKEW:.0f} s it refuses requests", "set this machine's clock by NTP")
    return passed("s3: the clocks of this machine and the endpoint agree")


async def _tried(
    bucket: BucketName, endpoint: str, options: Mapping[str, Any], environ: Mapping[str, str]
) -> list[CheckFinding]:
    try:
        from p2pcache.stores.s3.object_driver import RECORDS
    except ImportError:
        return [failed("s3: the package obstore is missing", "pip install 'p2pcache[s3]'")]
    from obstore.exceptions import BaseError

    async with connected(bucket, endpoint, options, environ) as store:
        began = time.monotonic()
        try:
            async for _ in store.list(RECORDS, chunk_size=1):
                break
        except (BaseError, OSError) as error:
            raise explained(error) from None
        listed = passed(f"s3: entries can be listed ({_ms(began)})")
        return [listed, *await _ObjectTrial(store, f"{FOLDER}{secrets.token_hex(8)}").run()]


class _ObjectTrial:
    """One object of the check's own, which is removed in the end: whether a store does what the cache needs."""

    def __init__(self, store: Any, key: str) -> None:
        from p2pcache.stores.s3 import object_driver

        self._store = store
        self._key = key
        self._data = b""
        self._driver = object_driver

    async def run(self) -> list[CheckFinding]:
        """Put the object, also on conditions that do not hold, read it, delete it.

        Raises:
            StoreError: a call failed.
        """
        from obstore.exceptions import BaseError

        began = time.monotonic()
        try:
            try:
                conditional = await self._puts()
                result = await self._store.get_async(self._key)
                same = bytes(await result.bytes_async()) == self._data
            finally:
                left = await self._delete()
        except (BaseError, OSError) as error:
            if self._data or code(error) not in self._driver.DENIED:
                raise explained(error) from None
            found = f"s3: nothing may be written below {FOLDER}, so put, get and delete are not tried"
            return [warned(found, f"if this node is to write, {_POLICY}")]
        if not same:
            return [failed("s3: an object is read with other bytes than were put", "see what is before the endpoint")]
        if not conditional:
            found = "s3: conditional puts are not honoured: of two jobs that write a record at once, the last one wins"
            return [warned(found, "use a store that knows If-Match, or accept some more calls of GitHub's"), *left]
        return [passed(f"s3: conditional put, get and delete work ({_ms(began)})"), *left]

    async def _puts(self) -> bool:
        """Put the object; return whether the store refuses a put on a condition that does not hold."""
        from obstore.exceptions import BaseError

        try:
            first = await self._put("create")
            old = self._driver.mode_of(self._driver.version_of(first))
            replaced = await self._put("create") is None and await self._put(old) is not None
            return replaced and await self._put(old) is None
        except BaseError as error:
            if code(error) not in self._driver.UNCONDITIONAL:
                raise
            await self._put("overwrite")
            return False

    async def _put(self, mode: Any) -> Any:
        """Put new bytes and return their metadata; None where the condition does not hold."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        data = secrets.token_bytes(64)
        try:
            meta = await self._store.put_async(self._key, data, mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return None
        self._data = data
        return meta

    async def _delete(self) -> list[CheckFinding]:
        """Remove the object, if it was put; return a finding where that fails."""
        from obstore.exceptions import BaseError

        if not self._data:
            return []
        try:
            await self._store.delete_async(self._key)
        except (BaseError, OSError) as error:
            return [warned(f"s3: {self._key} cannot be deleted, and stays: {explained(error)}", _POLICY)]
        return []


def _ms(began: float) -> str:
    return f"{1000 * (time.monotonic() - began):.0f} ms"
