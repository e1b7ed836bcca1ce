"""The memory of invalidations."""

from __future__ import annotations

from p2pcache.swarm.rules.invalidation import Invalidation, InvalidationLog

ROOM = 400 + 65
"""Bytes that an invalidation of these tests takes."""


def made(serial: int, at: float = 100.0, origin: str = "a", topics: int = 1) -> Invalidation:
    return Invalidation(origin, serial, at, (b"t" * 16,) * topics, None, b"")


def test_each_is_done_once() -> None:
    log = InvalidationLog(10_000, 3600.0)
    assert log.add(made(1), "a")
    assert not log.add(made(1), "a")
    assert log.add(made(1, origin="b"), "b")


def test_one_that_turns_out_to_be_younger_is_done_again() -> None:
    log = InvalidationLog(10_000, 3600.0)
    assert log.add(made(1, at=100.0), "liar")
    assert not log.add(made(1, at=101.0), "a")  # a moment on its way
    assert log.add(made(1, at=200.0), "a")
    assert not log.add(made(1, at=100.0), "liar")
    assert [drop.at for drop in log.recent(200.0)] == [200.0]


def test_old_ones_do_not_matter_and_many_are_bounded() -> None:
    log = InvalidationLog(4 * 3 * ROOM, 60.0)
    for serial in range(5):
        log.add(made(serial, at=100.0 + serial), "a")
    assert [drop.serial for drop in log.recent(105.0)] == [2, 3, 4]
    assert [drop.serial for drop in log.recent(163.5)] == [4]


def test_one_that_drops_without_end_loses_only_its_own() -> None:
    log = InvalidationLog(4 * 3 * ROOM, 3600.0)
    log.add(made(1, origin="honest"), "honest")
    for serial in range(1000):
        log.add(made(serial, origin=f"made up {serial}", topics=1 + serial % 3), "flooder")
    kept = list(log.recent(100.0))
    assert kept[0].origin == "honest"
    assert sum(drop.room for drop in kept) <= 4 * ROOM


def test_the_whole_is_bounded_and_who_takes_most_gives_way() -> None:
    log = InvalidationLog(8 * ROOM, 3600.0)
    for serial in range(20):
        for member in "abcdef":
            log.add(made(serial, origin=member), member)
    kept = [drop.origin for drop in log.recent(100.0)]
    assert len(kept) == 8
    assert set(kept) == set("abcdef")
