"""The directory: found by name, bounded, and forgotten with its holder."""

from __future__ import annotations

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from p2pcache.cache.entry import CID_PREFIX, Pointer
from p2pcache.swarm.rules.directory import Directory, Holding
from tests.unit.swarm.conftest import Pointers

A, B = "peer-a", "peer-b"


ROOM = 1_500 + 330 + 3
"""Bytes that a pointer of these tests takes."""


def directory(total: int = 100, share: int = 50, drops: int = 100) -> Directory:
    """With room for so many pointers."""
    return Directory(total * ROOM, share * ROOM, drops)


def test_found_by_name_the_latest_proved_first(pointer: Pointers) -> None:
    here = directory()
    old, new = pointer(name=b"n" * 32, proved_at=1.0), pointer(name=b"n" * 32, proved_at=2.0, scope=b"o" * 16)
    assert here.add(old, A)
    assert here.add(new, B)
    assert here.find(b"n" * 32) == [new, old]
    assert here.find(b"x" * 32) == []
    assert set(here.holders(old.cid)) == {A}
    assert here.holders(b"unknown") == {}


def test_a_second_holder_is_no_news(pointer: Pointers) -> None:
    here, one = directory(), pointer()
    assert here.add(one, A)
    assert not here.add(one, B)
    assert set(here.holders(one.cid)) == {A, B}


def test_a_renewed_pointer_is_news_an_echo_of_it_is_not(pointer: Pointers) -> None:
    here, one = directory(), pointer(proved_at=100.0)
    here.add(one, A)
    assert not here.add(msgspec.structs.replace(one, proved_at=100.5), B)
    renewed = msgspec.structs.replace(one, proved_at=160.0, topics=(b"u" * 16,))
    assert here.add(renewed, A)
    assert here.find(one.name) == [renewed]
    here.drop([b"t" * 16], None, 200.0)
    assert here.find(one.name) == [renewed]
    here.drop([b"u" * 16], None, 200.0)
    assert here.find(one.name) == []


def test_what_a_lease_left_is_news_when_it_is_announced(pointer: Pointers) -> None:
    here, one = directory(), pointer(proved_at=100.0)
    assert here.add(one, A, announced=False)
    assert here.add(one, A)
    assert not here.add(one, A)
    renewed = msgspec.structs.replace(one, proved_at=160.0)
    assert here.add(renewed, A, announced=False)
    assert here.add(renewed, A)
    assert not here.add(renewed, B)


def test_what_a_peer_took_along_is_gone_with_it(pointer: Pointers) -> None:
    here, mine, shared = directory(), pointer(), pointer()
    here.add(mine, A)
    here.add(shared, A)
    here.add(shared, B)
    assert here.announced(A) == 2
    here.remove_peer(A)
    here.remove_peer("stranger")
    assert here.find(mine.name) == []
    assert set(here.holders(shared.cid)) == {B}
    assert here.announced(A) == 0
    assert len(here) == 1


def test_a_block_that_a_peer_has_not_got(pointer: Pointers) -> None:
    here, one = directory(), pointer()
    here.add(one, A)
    here.add(one, B)
    here.remove(one.cid, A)
    here.remove(one.cid, "stranger")
    assert set(here.holders(one.cid)) == {B}
    here.remove(one.cid, B)
    assert here.find(one.name) == []
    here.remove(one.cid, B)


def test_a_peer_that_floods_evicts_only_its_own(pointer: Pointers) -> None:
    here, good = directory(total=100, share=10), pointer()
    here.add(good, A)
    flood = [pointer() for _ in range(500)]
    for each in flood:
        here.add(each, B)
    assert here.find(good.name) == [good]
    assert here.announced(B) == 10
    assert here.find(flood[-1].name) == [flood[-1]]


def test_the_whole_is_bounded_too(pointer: Pointers) -> None:
    here = directory(total=20, share=15)
    for n in range(100):
        here.add(pointer(), f"peer-{n % 10}")
    assert len(here) == 20
    assert len(here.pointers()) == 20


def test_large_pointers_take_the_room_of_many(pointer: Pointers) -> None:
    here, good = directory(total=100, share=10), pointer()
    here.add(good, A)
    for _ in range(50):
        here.add(pointer(link="x" * 5 * ROOM), B)
    assert here.announced(B) == 1
    assert here.find(good.name) == [good]


def test_who_takes_most_gives_way(pointer: Pointers) -> None:
    here = directory(total=20, share=15)
    small = [pointer() for _ in range(5)]
    for each in small:
        here.add(each, A)
    for _ in range(30):
        here.add(pointer(), B)
        here.add(pointer(), "peer-c")
    assert all(here.find(each.name) for each in small)
    assert len(here) == 20


def test_what_is_said_of_a_holder_does_not_replace_its_own_word(pointer: Pointers) -> None:
    here, one = directory(), pointer(size=50_000)
    lie = msgspec.structs.replace(one, size=10, proved_at=one.proved_at + 5)
    here.add(lie, A, announced=False)
    assert here.holders(one.cid) == {A: Holding(10, announced=False)}
    here.add(one, A)
    here.add(lie, A, announced=False)
    here.add(lie, B)
    assert here.holders(one.cid) == {A: Holding(50_000, announced=True), B: Holding(10, announced=True)}
    elsewhere = msgspec.structs.replace(lie, name=b"n" * 32)
    here.add(elsewhere, A, announced=False)
    assert here.holders(one.cid)[A] == Holding(50_000, announced=True)


def test_a_drop_takes_its_topic_and_scope_only(pointer: Pointers) -> None:
    here = directory()
    mine, other = pointer(proved_at=1.0), pointer(proved_at=1.0, scope=b"o" * 16)
    elsewhere = pointer(proved_at=1.0, topics=(b"x" * 16,))
    for each in (mine, other, elsewhere):
        here.add(each, A)
    here.drop([b"t" * 16], mine.scope, 2.0)
    assert here.find(mine.name) == []
    assert here.find(other.name) == [other]
    here.drop([b"t" * 16], None, 2.0)
    assert here.find(other.name) == []
    assert here.find(elsewhere.name) == [elsewhere]


def test_an_announcement_under_way_does_not_undo_a_drop(pointer: Pointers) -> None:
    here, stale = directory(), pointer(proved_at=1.0)
    here.drop([b"t" * 16], None, 2.0)
    here.drop([b"t" * 16], None, 1.5)
    assert not here.add(stale, A)
    assert here.find(stale.name) == []
    fetched_since = msgspec.structs.replace(stale, proved_at=3.0)
    assert here.add(fetched_since, A)
    here.drop([b"t" * 16], None, 2.0)
    assert here.find(stale.name) == [fetched_since]


def test_remembered_drops_are_bounded(pointer: Pointers) -> None:
    here = directory(drops=3)
    for n in range(10):
        here.drop([bytes([n]) * 16], None, 2.0)
    assert here.add(pointer(proved_at=1.0, topics=(bytes([0]) * 16,)), A)
    assert not here.add(pointer(proved_at=1.0, topics=(bytes([9]) * 16,)), A)


NAMES = [bytes([n]) * 32 for n in range(3)]
CIDS = [CID_PREFIX + bytes([n]) * 32 for n in range(3)]
TOPICS = [bytes([n]) * 16 for n in range(2)]


class Model(RuleBasedStateMachine):
    """Against a list of (pointer, holder)."""

    def __init__(self) -> None:
        super().__init__()
        self.here = Directory(1 << 30, 1 << 30, 1000)
        self.model: dict[tuple[bytes, bytes], set[str]] = {}
        self.clock = 0.0

    @rule(
        name=st.sampled_from(NAMES),
        cid=st.sampled_from(CIDS),
        peer=st.sampled_from("abc"),
        topic=st.sampled_from(TOPICS),
    )
    def add(self, name: bytes, cid: bytes, peer: str, topic: bytes) -> None:
        self.clock += 10
        pointer = Pointer(name, b"s" * 16, cid, None, None, None, "slow", self.clock, 1e9, 0, 1, "", (topic,))
        assert self.here.add(pointer, peer)
        self.model.setdefault((name, cid), set()).add(peer)

    @rule(peer=st.sampled_from("abc"))
    def leave(self, peer: str) -> None:
        self.here.remove_peer(peer)
        self.model = {key: left for key, peers in self.model.items() if (left := peers - {peer})}

    @rule(cid=st.sampled_from(CIDS), peer=st.sampled_from("abc"))
    def remove(self, cid: bytes, peer: str) -> None:
        self.here.remove(cid, peer)
        gone = {key: peers - ({peer} if key[1] == cid else set()) for key, peers in self.model.items()}
        self.model = {key: peers for key, peers in gone.items() if peers}

    @rule()
    def drop_everything(self) -> None:
        self.here.drop(TOPICS, None, self.clock)
        self.model = {}

    @invariant()
    def agrees(self) -> None:
        for name in NAMES:
            assert {p.cid for p in self.here.find(name)} == {cid for n, cid in self.model if n == name}
        for cid in CIDS:
            expected = set().union(*(peers for (_, c), peers in self.model.items() if c == cid))
            assert set(self.here.holders(cid)) == expected
        assert len(self.here) == len(self.model)

    @invariant()
    def nothing_is_left_over(self) -> None:
        if not self.model:
            here = self.here
            assert not (here._names or here._blocks or here._topics or any(here._peers.values()))  # noqa: PT018  # one fact
            assert not here._taken.total()


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_model = Model.TestCase


def test_a_topic_named_twice_is_forgotten_once(pointer: Pointers) -> None:
    directory = Directory(1 << 20, 1 << 20, 100)
    twice = pointer(topics=(b"t" * 16, b"t" * 16))
    directory.add(twice, "a")
    directory.drop([b"t" * 16], None, twice.proved_at)
    assert directory.find(twice.name) == []
    assert len(directory) == 0


def test_a_holders_own_word_counts_whatever_it_stands_beside(pointer: Pointers) -> None:
    here, cid = directory(), pointer().cid
    for number in range(40):
        here.add(pointer(cid, name=bytes([number]) * 32, size=10), A, announced=number == 20)
    assert here.holders(cid)[A].announced
