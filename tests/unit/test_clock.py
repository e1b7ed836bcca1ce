from __future__ import annotations

import pytest

from p2pcache.clock import Steady


class Machine:
    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.up = 50.0
        self.clock = Steady(lambda: self.wall, lambda: self.up)

    def passes(self, seconds: float, *, step: float = 0.0) -> float:
        self.wall += seconds + step
        self.up += seconds
        return self.clock()


def test_it_is_unix_time() -> None:
    machine = Machine()
    assert machine.clock() == machine.wall
    assert machine.passes(10.0) == machine.wall


@pytest.mark.parametrize("step", [-1.0, -3600.0, -26 * 3600.0])
def test_a_step_backwards_takes_nothing_back(step: float) -> None:
    machine = Machine()
    before = machine.clock()
    assert machine.passes(10.0, step=step) == before + 10.0
    assert machine.passes(60.0) == before + 70.0


def test_a_step_forwards_is_followed() -> None:
    machine = Machine()
    assert machine.passes(1.0, step=7200.0) == machine.wall
    assert machine.passes(1.0, step=-7200.0) == machine.wall + 7200.0
