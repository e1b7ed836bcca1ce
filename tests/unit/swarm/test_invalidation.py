"""The memory of invalidations."""

from __future__ import annotations

from p2pcache.swarm.invalidation import DropLog, Invalidation


def made(serial: int, at: float = 100.0, origin: str = "a") -> Invalidation:
    return Invalidation(origin, serial, at, (b"t" * 16,), None)


def test_each_is_done_once():
    log = DropLog(10, 3600.0)
    assert log.add(made(1))
    assert not log.add(made(1))
    assert log.add(made(1, origin="b"))


def test_old_ones_do_not_matter_and_many_are_bounded():
    log = DropLog(3, 60.0)
    for serial in range(5):
        log.add(made(serial, at=100.0 + serial))
    assert [drop.serial for drop in log.recent(105.0)] == [2, 3, 4]
    assert [drop.serial for drop in log.recent(163.5)] == [4]
