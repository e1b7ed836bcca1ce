"""Check 5: put, get, expire, drop and evict in the memory and in the stores of this host, with their times.

The entries have keys of their own, so that no node finds them, and are dropped. What would evict a user's entries is
tried in a store of its own on the same file system.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from p2pcache import backends
from p2pcache.backends import Backend, Reach
from p2pcache.cache.codec import BlockError, open_block, seal_block
from p2pcache.cache.entry import Block, Entry, Pointer
from p2pcache.cache.memory import LARGEST_SHARE, Memory
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.tiers import Opening, Store, Tier
from p2pcache.clock import unix_time
from p2pcache.doctor.disk_examination import nearest
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, skipped, warned
from p2pcache.settings import Settings

SMALLEST = 1 << 20
"""The bound of a store that is made to evict; the least that a setting takes."""
LARGE = 48 << 10
"""The body of an entry in it: less than its largest share."""
SLOW_SECONDS = 0.25
"""A store of this host is asked with every miss, and left out where it takes a second."""
TOO_SLOW_SECONDS = 0.9
"""A store gives up a call after a second."""
LIFETIME = 60.0
_DIRECTORY = "name a directory that this user may write, with space in it, with --dir or CACHE_DIR"
_REPORT = "open an issue with this line"


class OperationError(Exception):
    """An operation did not do what it is for; the message is a sentence."""


class OwnEntry(NamedTuple):
    """An entry of the doctor's own, and its sealed block."""

    entry: Entry
    sealed: bytes


def sample(keyring: Keyring, number: int = 0, *, size: int = 2048, expired: bool = False) -> OwnEntry:
    """Return an entry that no node asks for."""
    resource = f"doctor {number} {expired}".encode()
    block = Block(200, (("content-type", "application/json"),), secrets.token_bytes(size))
    cid, sealed = seal_block(keyring, block)
    now = unix_time()
    pointer = Pointer(
        name=keyring.resource_name(resource),
        scope=keyring.scope_name("doctor"),
        cid=cid,
        etag=None,
        last_modified=None,
        link=None,
        lifetime="normal",
        proved_at=now - 2 * LIFETIME if expired else now,
        expires_at=now - LIFETIME if expired else now + LIFETIME,
        cost_ms=0,
        size=len(sealed),
        by="",
        topics=(keyring.topic_name("doctor"),),
    )
    return OwnEntry(Entry(pointer, block), sealed)


class Times:
    """Measures operations by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Measure one."""
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds * 1000:.2f} ms" for name, seconds in self.seconds.items())


async def examine(patient: Patient) -> Sequence[CheckFinding]:
    """Return a finding for the memory, and one for each store of this host."""
    settings = patient.settings
    chosen = [backend for name in settings.backends if (backend := backends.named(name)).reach is Reach.HOST]
    found = [of_memory()]
    found += [await of_store(backend, settings) for backend in chosen if not backend.ended]
    if not chosen:
        found.append(skipped("no store of this host is among the backends: answers live as long as the node"))
    return found


def of_memory() -> CheckFinding:
    """Try a memory store of the smallest size."""
    keyring, memory, times = Keyring.ephemeral(), Memory(SMALLEST), Times()
    try:
        kept, old = sample(keyring).entry, sample(keyring, expired=True).entry
        with times.of("put"):
            _expect(memory.put(kept), "an entry was not kept")
        with times.of("get"):
            _expect(memory.get(kept.key) is kept, "an entry was not found")
        memory.put(old)
        found = memory.get(old.key)
        _expect(found is not None and not found.pointer.fresh(unix_time()), "an expired entry counts as fresh")
        with times.of("drop"):
            _expect(memory.drop(kept.pointer.topics) == 1 + (old.key != kept.key), "a drop left an entry")
        size = SMALLEST // LARGEST_SHARE // 2
        large = [sample(keyring, number, size=size).entry for number in range(4 * LARGEST_SHARE)]
        with times.of(f"evict ({len(large)} puts)"):
            for entry in large:
                memory.put(entry)
        _expect(not large[0].alive and large[-1].alive and memory.bytes <= SMALLEST, "the bound was not kept")
    except OperationError as error:
        return failed(f"memory: {error}", _REPORT)
    return passed("memory: put, get, expire, drop and evict do what they should", str(times))


async def of_store(backend: Backend, settings: Settings) -> CheckFinding:
    """Try the store of this host as the settings have it; where there is none yet, one in its place."""
    name, times = backend.name, Times()
    try:
        with tempfile.TemporaryDirectory(prefix=".p2pcache-doctor-", dir=nearest(settings.directory)) as folder:
            there = any(settings.directory.glob("store/*"))
            where = settings.directory if there else Path(folder) / "real"
            keyring = Keyring.ephemeral()
            async with _opened(backend, Opening(settings.options, where, keyring)) as tier:
                await _tried(tier, keyring, times)
            small = {each.field: SMALLEST for each in backend.settings if each.unit == "bytes"}
            opening = Opening({**settings.options, **small}, Path(folder) / "small", keyring)
            async with _opened(backend, opening) as tier:
                await _evicted(tier, keyring, times)
    except OSError as error:
        return failed(f"{name}: {settings.directory} cannot be written: {error.strerror}", _DIRECTORY)
    except OperationError as error:
        return failed(f"{name}: {error}", _DIRECTORY)
    slow = [operation for operation in ("put", "get", "drop") if times.seconds[operation] > SLOW_SECONDS]
    if slow:
        advice = "name a directory on a faster disk with --dir or CACHE_DIR, or leave the store out of CACHE_BACKENDS"
        return warned(f"{name}: {', '.join(slow)} took longer than {SLOW_SECONDS * 1000:.0f} ms", advice, str(times))
    place = f"in {where}" if there else f"on the file system of {settings.directory}, where no store is yet"
    return passed(f"{name}: put, get, expire, drop and evict do what they should {place}", str(times))


async def _tried(tier: Tier, keyring: Keyring, times: Times) -> None:
    kept, old = sample(keyring), sample(keyring, expired=True)
    with times.of("put"):
        await tier.store(kept.entry.pointer, kept.sealed)
    with times.of("get"):
        found = await tier.find(kept.entry.pointer.name)
        sealed = await tier.block(kept.entry.pointer)
    _expect(
        list(found) == [kept.entry.pointer] and sealed is not None, f"an entry was not found{_trouble(tier, times)}"
    )
    try:
        block = open_block(keyring, kept.entry.pointer.cid, sealed or b"")
    except BlockError:
        raise OperationError("an entry came back changed") from None
    _expect(block == kept.entry.block, "an entry came back changed")
    with times.of("expire"):
        await tier.store(old.entry.pointer, old.sealed)
        stale = await tier.find(old.entry.pointer.name)
    _expect(not any(pointer.fresh(unix_time()) for pointer in stale), "an expired entry counts as fresh")
    with times.of("drop"):
        await tier.drop(kept.entry.pointer.topics)
    _expect(not await tier.find(kept.entry.pointer.name), "a drop left an entry")


async def _evicted(tier: Tier, keyring: Keyring, times: Times) -> None:
    entries = [sample(keyring, number, size=LARGE) for number in range(2 * SMALLEST // LARGE)]
    with times.of(f"evict ({len(entries)} puts)"):
        for each in entries:
            await tier.store(each.entry.pointer, each.sealed)
    first, last = entries[0].entry.pointer, entries[-1].entry.pointer
    _expect(not await tier.find(first.name), "the bound was not kept")
    _expect(list(await tier.find(last.name)) == [last], f"the newest entry was evicted{_trouble(tier, times)}")


@contextlib.asynccontextmanager
async def _opened(backend: Backend, opening: Opening) -> AsyncIterator[Tier]:
    tier: Tier = backend.open(opening)
    try:
        yield tier
    finally:
        await tier.close()


def _expect(holds: object, sentence: str) -> None:
    if not holds:
        raise OperationError(sentence)


def _trouble(tier: Tier, times: Times) -> str:
    """Return the reason that a store gives itself, or that it was too slow to be waited for."""
    if isinstance(tier, Store) and tier.trouble:
        return f": {tier.trouble}"
    return ": the disk is too slow" if max(times.seconds.values()) > TOO_SLOW_SECONDS else ""
