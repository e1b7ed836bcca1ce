from __future__ import annotations

from typing import Any

import msgspec
import pytest

from p2pcache.cache.codec import decode_pointer, encode_pointer
from p2pcache.cache.entry import CID_PREFIX, Block, Entry, Pointer
from p2pcache.testing.conformance import make


@pytest.mark.parametrize(("now", "fresh"), [(1059.9, True), (1060.0, False), (1060.1, False)])
def test_a_pointer_is_fresh_until_it_expires(now: float, fresh: bool) -> None:
    assert make(expires_at=1060.0).pointer.fresh(now) is fresh


def test_an_entry_is_known_by_resource_and_scope() -> None:
    pointer = make().pointer
    assert Entry(pointer, Block(200, (), b"")).key == (pointer.name, pointer.scope)


def test_entries_are_told_apart_by_identity() -> None:
    pointer, block = make().pointer, Block(200, (), b"")
    assert Entry(pointer, block) != Entry(pointer, block)


FIELDS: dict[str, Any] = {
    "name": b"n" * 32,
    "scope": b"s" * 16,
    "cid": CID_PREFIX + b"c" * 32,
    "etag": 'W/"tag"',
    "last_modified": "Sat, 01 Nov 2025 00:00:00 GMT",
    "link": '<https://api.github.com/x?page=2>; rel="next"',
    "lifetime": "slow",
    "proved_at": 1000.5,
    "expires_at": 2000.5,
    "cost_ms": 17,
    "size": 4711,
    "by": "12D3KooWPeer",
    "topics": (b"t" * 16, b"u" * 16),
    "vary": ("accept", "authorization"),
}
"""In the order in which they are stored and sent, by which older nodes and yesterday's stores read them: a new one is
last, and has a default."""


def test_no_field_of_a_pointer_is_moved_and_a_new_one_is_last() -> None:
    fields = msgspec.structs.fields(Pointer)
    assert [field.name for field in fields] == list(FIELDS)
    assert all(not field.required for field in fields[13:])


def test_a_pointer_is_stored_and_read_whole() -> None:
    read = decode_pointer(encode_pointer(Pointer(**FIELDS)))
    assert msgspec.structs.asdict(read) == FIELDS


def test_a_field_of_a_newer_node_is_skipped() -> None:
    newer = [*msgspec.structs.astuple(Pointer(**FIELDS)), "something new"]
    assert decode_pointer(msgspec.msgpack.encode(newer)) == Pointer(**FIELDS)
