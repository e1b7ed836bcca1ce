"""What `p2pcache scenarios` prints where, and its exit status; the scenarios here only pretend."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable

import pytest
from click.testing import CliRunner, Result

from p2pcache.cli import main
from p2pcache.commands import scenarios
from p2pcache.scenarios.outcome import Figures, figures
from p2pcache.scenarios.places import MissingError, UnexpectedError
from p2pcache.scenarios.scenario import Scenario, Series

FOUND = figures(peers=[2, 2, 2], milliseconds=[1.0] * 90, charged=10, not_modified=3)


async def works(series: Series) -> Figures:
    series.progress("round 1 of 3")
    return FOUND


async def lacks(series: Series) -> Figures:
    raise MissingError("there is no image [mine]: docker pull mine")


async def fails(series: Series) -> Figures:
    raise UnexpectedError("runner-1 was connected to no peer")


async def is_interrupted(series: Series) -> Figures:
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.Event().wait()
    raise AssertionError


Use = Callable[..., None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Have the scenarios be these functions, by their names."""

    def replace(*runs: Callable[[Series], Awaitable[Figures]]) -> None:
        chosen = tuple(Scenario(run.__name__, f"title of {run.__name__}", f"shows {run.__name__}", run) for run in runs)
        monkeypatch.setattr(scenarios, "SCENARIOS", chosen)

    return replace


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["scenarios", *arguments])


def test_what_is_missing_is_named_and_no_failure(use: Use) -> None:
    use(works, lacks)
    said = run()
    assert said.exit_code == 0
    table, _, sentences = said.stdout.partition("left out  ")
    assert table.index("title of works") < table.index("10 of 90") < table.index("title of lacks")
    assert "title of lacks: left out: there is no image [mine]: docker pull mine" in sentences


def test_one_that_failed_is_the_exit_status(use: Use) -> None:
    use(fails, works)
    said = run()
    assert said.exit_code == 1
    assert "title of fails: failed: runner-1 was connected to no peer" in said.stdout


def test_progress_goes_to_stderr_and_can_be_silenced(use: Use) -> None:
    use(works, lacks)
    said = run("--json")
    assert json.loads(said.stdout)["scenarios"][0]["status"] == "ok"
    assert "1/2 title of works: round 1 of 3\n" in said.stderr
    assert "1/2 title of works: 10 of 90 API calls, median 1.0 ms" in said.stderr
    assert "2/2 title of lacks: left out: there is no image [mine]" in said.stderr
    assert run("--quiet").stderr == ""


def test_no_colours_where_none_are_wanted(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    use(fails, works)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    said = run()
    assert "\x1b[3" not in said.stdout + said.stderr


def test_markdown_goes_to_a_summary(use: Use) -> None:
    use(works)
    assert run("--markdown", "--quiet").stdout.startswith("| scenario | connected |")


def test_only_those_named_run_in_their_usual_order(use: Use) -> None:
    use(works, lacks, fails)
    found = json.loads(run("--json", "--only", "lacks", "--only", "works").stdout)
    assert [each["name"] for each in found["scenarios"]] == ["works", "lacks"]


def test_a_name_that_is_none_is_refused_with_those_that_are(use: Use) -> None:
    use(works, lacks)
    said = run("--only", "work")
    assert said.exit_code == 2
    assert said.stderr == "p2pcache: --only: read 'work': expected one of works, lacks\n"


def test_the_list_runs_none(use: Use) -> None:
    use(fails, works)
    said = run("--list")
    assert (said.exit_code, said.stdout) == (0, "fails  shows fails\nworks  shows works\n")


def test_a_signal_ends_it_with_a_shells_status(use: Use) -> None:
    use(is_interrupted, works)
    said = run()
    assert said.exit_code == 128 + signal.SIGTERM
    assert said.stdout == ""
