"""Scenarios that need nothing but this machine, with a workload that is as small as can be."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pcache.scenarios.fleet import Workload
from p2pcache.scenarios.outcome import Figures, Result
from p2pcache.scenarios.scenario import Series
from p2pcache.scenarios.sequence import outcomes
from p2pcache.scenarios.single_host import SCENARIOS

pytestmark = pytest.mark.timeout(300)
LOAD = Workload(runners=2, resources=2, rounds=2, latency=0.02)


async def run(*names: str) -> dict[str, Figures]:
    chosen = [scenario for scenario in SCENARIOS if scenario.name in names]
    found = {}
    async for outcome in outcomes(chosen, Series(load=LOAD)):
        assert (outcome.status, outcome.reason) == (Result.OK, "")
        assert outcome.figures is not None
        found[outcome.name] = outcome.figures
    return found


@pytest.fixture
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Afterwards there is no file of a scenario, nor a process with one in its command line."""
    with tempfile.TemporaryDirectory() as short:  # a test's own path may be too long for a socket
        monkeypatch.setattr(tempfile, "tempdir", short)
        yield
        assert [*Path(short).iterdir()] == []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                assert os.fsencode(short) not in path.read_bytes()


@pytest.mark.usefixtures("nothing_is_left")
async def test_each_is_measured_and_what_it_started_ends() -> None:
    found = await run("no-cache", "one-host")
    none, together = found["no-cache"], found["one-host"]
    assert [figures.requests for figures in (none, together)] == [LOAD.requests] * 2
    assert [figures.connected for figures in (none, together)] == [0, 2]
    assert min(together.peers) > 0
    assert (none.charged, none.hit_rate) == (8, 0)
    assert together.charged < 4, "each runner asked for both resources, and had one of them from the other"
    assert none.median_ms >= 1e3 * LOAD.latency
    assert all(figures.median_ms <= figures.p95_ms for figures in found.values())
