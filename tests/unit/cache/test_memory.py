from __future__ import annotations

import math
import tracemalloc
from collections.abc import Collection, Sequence
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from p2pcache.backends.disk import BACKEND
from p2pcache.cache.codec import BlockError, open_block, seal_block
from p2pcache.cache.entry import Block, Entry, Pointer
from p2pcache.cache.memory import LARGEST_SHARE, Memory
from p2pcache.cache.tiers import Tier
from p2pcache.testing.conformance import KEYRING, TierConformance, make

BOUND = 100_000


def entry(resource: str = "/r", *, scope: str = "s", body: bytes = b"[]", topics: tuple[str, ...] = ("t",)) -> Entry:
    return Entry(make(resource, scope=scope, topics=topics).pointer, Block(200, (("etag", '"x"'),), body))


class Adapter:
    """Memory behind the interface of a tier: opened on the way in, sealed on the way out."""

    backend = BACKEND

    def __init__(self) -> None:
        self.memory = Memory(64 << 20)

    async def find(self, resource: bytes) -> Sequence[Pointer]:
        return [entry.pointer for entry in self.memory.find(resource)]

    async def block(self, pointer: Pointer) -> bytes | None:
        entry = self.memory.get((pointer.name, pointer.scope))
        return seal_block(KEYRING, entry.block)[1] if entry else None

    async def store(self, pointer: Pointer, sealed: bytes) -> None:
        with suppress(BlockError):
            self.memory.put(Entry(pointer, open_block(KEYRING, pointer.cid, sealed)))

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        self.memory.drop(topics, scope, until)

    async def close(self) -> None:
        self.memory.clear()


class TestContract(TierConformance):
    @pytest.fixture
    def tier(self) -> Tier:
        return Adapter()


class TestMemory:
    def test_what_is_put_is_got_and_found(self) -> None:
        memory, mine, other = Memory(BOUND), entry(scope="a"), entry(scope="b")
        assert memory.put(mine)
        assert memory.put(other)
        assert memory.get(mine.key) is mine
        assert memory.find(mine.pointer.name) == [mine, other]
        assert memory.find(b"unknown") == []
        assert memory.get((b"unknown", b"")) is None
        assert len(memory) == 2

    def test_a_replaced_entry_is_no_longer_alive(self) -> None:
        memory, old, new = Memory(BOUND), entry(body=b"old"), entry(body=b"new")
        memory.put(old)
        memory.put(new)
        assert memory.get(new.key) is new
        assert (old.alive, new.alive, len(memory)) == (False, True, 1)

    def test_the_same_entry_may_be_put_again(self) -> None:
        memory, kept = Memory(BOUND), entry()
        memory.put(kept)
        before = memory.bytes
        memory.put(kept)
        assert (kept.alive, memory.bytes) == (True, before)

    def test_the_least_recently_used_goes_first(self) -> None:
        memory = Memory(BOUND)
        entries = [entry(f"/{i}", body=bytes(9000)) for i in range(9)]
        for each in entries[:8]:
            memory.put(each)
        memory.get(entries[0].key)
        memory.put(entries[8])
        assert [each.alive for each in entries] == [True, False] + [True] * 7
        assert memory.get(entries[1].key) is None

    def test_pointers_come_the_most_recently_used_first(self) -> None:
        memory = Memory(BOUND)
        entries = [entry(f"/{i}") for i in range(3)]
        for each in entries:
            memory.put(each)
        memory.get(entries[0].key)
        assert list(memory.pointers()) == [entries[i].pointer for i in (0, 2, 1)]

    def test_an_entry_beyond_its_share_is_not_kept_and_voids_its_predecessor(self) -> None:
        memory, old, large = Memory(BOUND), entry(), entry(body=bytes(BOUND // LARGEST_SHARE))
        memory.put(old)
        assert memory.put(large) is False
        assert (old.alive, large.alive, len(memory), memory.bytes) == (False, False, 0, 0)

    def test_variants_are_accounted_for(self) -> None:
        memory, kept, idle = Memory(BOUND), entry("/kept"), entry("/idle")
        memory.put(kept)
        memory.put(idle)
        before = memory.bytes
        assert memory.grow(kept, 5000)
        assert memory.bytes >= before + 5000
        assert memory.grow(kept, BOUND // LARGEST_SHARE) is False
        assert next(memory.pointers()) is kept.pointer
        memory.discard(kept.key)
        assert memory.grow(kept, 1) is False
        assert memory.bytes < before

    def test_variants_made_before_count_too(self) -> None:
        memory, plain, prepared = Memory(BOUND), entry("/plain"), entry("/prepared")
        prepared.variants["gzip"] = bytes(5000)
        memory.put(plain)
        alone = memory.bytes
        memory.put(prepared)
        assert memory.bytes >= 2 * alone + 5000

    def test_growing_evicts_others(self) -> None:
        memory = Memory(BOUND)
        entries = [entry(f"/{i}", body=bytes(6000)) for i in range(11)]
        for each in entries:
            memory.put(each)
        assert all(each.alive for each in entries)
        assert memory.grow(entries[10], 3000)
        assert memory.grow(entries[9], 3000)
        assert memory.grow(entries[8], 3000)
        assert not entries[0].alive
        assert entries[8].alive
        assert memory.bytes <= BOUND

    def test_topics_drop(self) -> None:
        memory = Memory(BOUND)
        both, one, none = entry("/1", topics=("a", "b")), entry("/2", topics=("b",)), entry("/3", topics=("c",))
        for each in (both, one, none):
            memory.put(each)
        assert memory.drop([KEYRING.topic_name("a"), KEYRING.topic_name("b")]) == 2
        assert memory.drop([KEYRING.topic_name("a")]) == 0
        assert (both.alive, one.alive, none.alive) == (False, False, True)

    def test_topics_drop_one_scope(self) -> None:
        memory, mine, other = Memory(BOUND), entry(scope="a"), entry(scope="b")
        memory.put(mine)
        memory.put(other)
        assert memory.drop(mine.pointer.topics, mine.pointer.scope) == 1
        assert (mine.alive, other.alive) == (False, True)

    def test_a_topic_named_twice_is_one(self) -> None:
        memory, kept = Memory(BOUND), entry(topics=("a", "a"))
        memory.put(kept)
        assert memory.drop(kept.pointer.topics) == 1

    def test_clear_leaves_nothing(self) -> None:
        memory, kept = Memory(BOUND), entry()
        memory.put(kept)
        memory.clear()
        assert (kept.alive, len(memory), memory.bytes) == (False, 0, 0)
        assert memory.discard(kept.key) is False


def test_the_bound_is_one_on_real_memory() -> None:
    """Many small entries, where Python's own overhead is most of it: what is accounted covers what is taken."""
    headers = [(f"x-header-{i}", f"value {i}") for i in range(8)]
    tracemalloc.start()
    memory = Memory(64 * 1024 * 1024)
    before, _ = tracemalloc.get_traced_memory()
    for i in range(2000):
        pointer = make(f"/{i}", topics=[f"{i}", f"{i}-list", "repo"]).pointer
        copied = tuple((name + "", f"{value} {i}") for name, value in headers)
        memory.put(Entry(pointer, Block(200, copied, b"%d" % i * 20)))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.5 * memory.bytes < after - before <= memory.bytes


RESOURCES, SCOPES, TOPICS = st.sampled_from("abcdef"), st.sampled_from("xyz"), st.sampled_from("123")


class MemoryAgainstModel(RuleBasedStateMachine):
    """Whatever happens, in whatever order: a plain dict of what should be there agrees, and the bound holds."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory(20_000)
        self.put_ones: list[Entry] = []

    @rule(resource=RESOURCES, scope=SCOPES, topics=st.sets(TOPICS), size=st.integers(0, 3000))
    def put(self, resource: str, scope: str, topics: set[str], size: int) -> None:
        new = entry(resource, scope=scope, topics=tuple(sorted(topics)), body=bytes(size))
        kept = self.memory.put(new)
        assert kept is new.alive
        self.put_ones.append(new)

    @rule(resource=RESOURCES, scope=SCOPES)
    def get(self, resource: str, scope: str) -> None:
        key = entry(resource, scope=scope).key
        alive = [each for each in self.put_ones if each.alive and each.key == key]
        assert self.memory.get(key) is (alive[0] if alive else None)

    @rule(topic=TOPICS, scope=st.none() | SCOPES)
    def drop(self, topic: str, scope: str | None) -> None:
        names = KEYRING.topic_name(topic), None if scope is None else KEYRING.scope_name(scope)
        hit = [
            each
            for each in self.put_ones
            if each.alive and names[0] in each.pointer.topics and names[1] in (None, each.pointer.scope)
        ]
        spared = [each for each in self.put_ones if each.alive and each not in hit]
        assert self.memory.drop([names[0]], names[1]) == len(hit)
        assert not any(each.alive for each in hit)
        assert all(each.alive for each in spared)

    @rule(number=st.integers(0, 50), size=st.integers(0, 3000))
    def grow(self, number: int, size: int) -> None:
        if number < len(self.put_ones) and self.memory.grow(self.put_ones[number], size):
            self.put_ones[number].variants[object()] = bytes(size)
            assert self.put_ones[number].alive

    @rule()
    def clear(self) -> None:
        self.memory.clear()

    @invariant()
    def the_living_are_what_is_there_within_the_bound(self) -> None:
        alive = [each for each in self.put_ones if each.alive]
        held = sum(len(e.block.body) + sum(map(len, e.variants.values())) for e in alive)
        assert held <= self.memory.bytes <= 20_000
        assert (self.memory.bytes == 0) is (not alive)
        assert {each.key for each in alive} == {(p.name, p.scope) for p in self.memory.pointers()}
        assert len(self.memory) == len(alive)
        for resource in "abcdef":
            name = KEYRING.resource_name(resource.encode())
            assert {id(e) for e in self.memory.find(name)} == {id(e) for e in alive if e.pointer.name == name}


TestMemoryAgainstModel = MemoryAgainstModel.TestCase
TestMemoryAgainstModel.settings = settings(stateful_step_count=30)
