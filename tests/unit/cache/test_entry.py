from __future__ import annotations

import msgspec
import pytest

from p2pcache.cache.entry import Block, Entry
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


def test_a_pointer_is_an_array_on_the_wire() -> None:
    assert len(msgspec.msgpack.decode(msgspec.msgpack.encode(make().pointer))) == 14
