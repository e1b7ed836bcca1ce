"""What the scenarios of one run share, and what is expected of runners that are connected."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from p2pcache.scenarios import scenario
from p2pcache.scenarios.fleet import Trial, Workload
from p2pcache.scenarios.outcome import Figures, figures
from p2pcache.scenarios.places import MissingError, UnexpectedError
from p2pcache.scenarios.scenario import Series, joined


async def test_an_image_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def found(given: str, progress: Callable[[str], None]) -> str:
        asked.append(given)
        return "p2pcache:mine"

    monkeypatch.setattr(scenario, "usable_image", found)
    series = Series(image="mine")
    assert [await series.docker_image() for _ in range(2)] == ["p2pcache:mine"] * 2
    assert asked == ["mine"]


async def test_nor_is_one_that_is_missing_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def missing(given: str, progress: Callable[[str], None]) -> str:
        asked.append(given)
        raise MissingError("no engine")

    monkeypatch.setattr(scenario, "usable_image", missing)
    series = Series()
    for _ in range(2):
        with pytest.raises(MissingError, match="no engine"):
            await series.docker_image()
    assert asked == [""]


async def test_two_runs_have_labels_of_their_own() -> None:
    assert Series().label != Series().label


async def test_a_trial_here_leaves_no_folder() -> None:
    async with Series().here() as (_, machine):
        assert machine.scratch.is_dir()
    assert not machine.scratch.exists()


class Connected:
    """A trial whose runners are connected, and whose calls are `charged`."""

    load = Workload(runners=2, resources=3)

    def __init__(self, charged: int) -> None:
        self._charged = charged

    async def start_github(self) -> None:
        pass

    async def start_fleet(self) -> list[str]:
        return ["runner-1", "runner-2"]

    async def connect(self, names: list[str]) -> None:
        assert names == ["runner-1", "runner-2"]

    async def work(self, names: list[str]) -> Figures:
        return figures(peers=[1, 1], milliseconds=[1.0] * 18, charged=self._charged, not_modified=0)


async def test_runners_that_share_made_fewer_calls_than_each_by_itself() -> None:
    assert (await joined(cast("Trial", Connected(5)))).charged == 5


async def test_runners_that_are_connected_and_share_nothing_have_failed() -> None:
    with pytest.raises(UnexpectedError, match="shared nothing: 6 calls"):
        await joined(cast("Trial", Connected(6)))
