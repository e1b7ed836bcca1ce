"""What a hub keeps for one room."""

from __future__ import annotations

import time

import msgspec

from p2pcache.swarm.rules.kept_blocks import KeptBlocks
from tests.unit.swarm.conftest import TOPIC, make_block, make_pointer

LARGE = 1 << 20


def kept(blocks: int = LARGE, pointers: int = LARGE) -> KeptBlocks:
    return KeptBlocks(blocks, pointers, 100)


def test_a_block_is_kept_with_its_pointers() -> None:
    store = kept()
    cid, sealed = make_block()
    one, other = make_pointer(cid), make_pointer(cid)
    assert store.put(one, sealed)
    assert not store.put(one, sealed)
    assert store.put(other, sealed)
    assert store.sealed(cid) == sealed
    assert store.sealed(make_block()[0]) is None
    assert store.pointers() == [other, one]


def test_the_oldest_gives_way_and_its_pointers_with_it() -> None:
    store = kept(blocks=1000)
    made = []
    for _ in range(11):
        cid, sealed = make_block(100)
        made.append(make_pointer(cid))
        assert store.put(made[-1], sealed)
    assert store.pointers() == made[:0:-1]
    assert store.sealed(made[0].cid) is None


def test_a_block_that_would_evict_many_is_not_kept() -> None:
    cid, sealed = make_block(126)
    assert not kept(blocks=1000).put(make_pointer(cid), sealed)


def test_pointers_are_bounded_too() -> None:
    store = kept(pointers=5 * 2_000)
    for _ in range(20):
        cid, sealed = make_block(10)
        store.put(make_pointer(cid), sealed)
    assert 1 <= len(store.pointers()) <= 6


def test_what_is_dropped_is_not_taken_again() -> None:
    store = kept()
    cid, sealed = make_block()
    pointer = make_pointer(cid)
    now = time.time()
    store.put(pointer, sealed)
    store.drop((TOPIC,), None, now)
    assert store.pointers() == []
    assert not store.put(pointer, sealed)
    newer = msgspec.structs.replace(pointer, proved_at=now + 1)
    assert store.put(newer, sealed)
    assert store.pointers() == [newer]
