from __future__ import annotations

import pytest

from p2pcache.cache import tombstones as module
from p2pcache.cache.tombstones import Tombstones

ME, OTHER = b"me", b"other"


def test_nothing_was_dropped_at_first() -> None:
    known = Tombstones()
    assert (known.epoch([b"a"], ME), known.since([b"a"], ME)) == (0, 0.0)
    assert known.epoch([], ME) == 0


@pytest.mark.parametrize(
    ("topics", "scope", "concerned"),
    [
        pytest.param([b"a"], None, True, id="its topic, for everybody"),
        pytest.param([b"x", b"b"], None, True, id="one of its topics"),
        pytest.param([b"a"], ME, True, id="its topic, for its scope"),
        pytest.param([b"a"], OTHER, False, id="its topic, for another scope"),
        pytest.param([b"x"], None, False, id="another topic"),
    ],
)
def test_a_drop_concerns(topics: list[bytes], scope: bytes | None, concerned: bool) -> None:
    known = Tombstones()
    known.mark(topics, scope, 5.0)
    assert (known.epoch([b"a", b"b"], ME) > 0) is concerned
    assert known.since([b"a", b"b"], ME) == (5.0 if concerned else 0.0)


def test_every_drop_counts() -> None:
    known = Tombstones()
    known.mark([b"a"], None, 5.0)
    first = known.epoch([b"a"], ME)
    known.mark([b"a"], ME, 5.0)
    assert known.epoch([b"a"], ME) > first
    assert known.epoch([b"a"], OTHER) == first


def test_a_drop_may_take_a_while() -> None:
    known = Tombstones()
    known.mark([b"a"], None, 5.0)
    epoch = known.epoch([b"a"], ME)
    known.extend([b"a", b"unknown"], None, 6.0)
    known.extend([b"a"], None, 5.5)
    assert (known.since([b"a"], ME), known.epoch([b"a"], ME)) == (6.0, epoch)
    assert known.since([b"unknown"], ME) == 0.0


def test_what_does_not_fit_concerns_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MARKS", 2)
    known = Tombstones()
    for number in range(4):
        known.mark([b"%d" % number], None, float(number))
    assert known.since([b"never dropped"], ME) == 1.0
    assert known.epoch([b"never dropped"], ME) == 2
    assert known.since([b"3"], ME) == 3.0


def test_an_earlier_drop_heard_of_later_is_no_step_back() -> None:
    known = Tombstones()
    known.mark([b"a"], None, 5.0)
    first = known.epoch([b"a"], ME)
    known.mark([b"a"], None, 3.0)
    assert known.since([b"a"], ME) == 5.0
    assert known.epoch([b"a"], ME) > first
