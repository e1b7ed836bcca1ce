"""A trial in a place that only notes what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from p2pcache.scenarios.fleet import GITHUB, Trial, Workload
from p2pcache.scenarios.places import UnexpectedError

LOAD = Workload(runners=2, resources=4, rounds=2, latency=0.05)


class Noting:
    """A place without processes: `answers` has the results of orders."""

    def __init__(self, **answers: Any) -> None:
        ready = {"url": "http://0.0.0.0:8000", "p2p_port": 9100, "peer_id": "12D3KooWHub"}
        self.answers = {"ready": ready, "peers": {"connected": 1, "reasons": []}, **answers}
        self.started: dict[str, tuple[list[str], Mapping[str, str]]] = {}
        self.orders: list[tuple[str, str, dict[str, Any]]] = []
        self.stopped: list[str] = []

    def path(self, name: str, file: str) -> str:
        return f"/{name}/{file}"

    def binds(self, name: str) -> str:
        return "0.0.0.0"

    def reached(self, name: str) -> str:
        return name

    async def start(self, name: str, module: Sequence[str], variables: Mapping[str, str]) -> None:
        self.started[name] = ([*module], variables)

    async def order(self, name: str, do: str, **arguments: Any) -> Any:
        self.orders.append((name, do, arguments))
        if do == "work":
            return [{"target": target, "status": 200, "ms": 1.0, "digest": target} for target in arguments["targets"]]
        if do == "ask":
            return self.answers.get(arguments["target"], {"ok": True})
        return self.answers[do]

    async def stop(self, *names: str) -> None:
        self.stopped += names


def trial(place: Noting) -> Trial:
    return Trial(place, LOAD, lambda step: None)


async def test_each_runner_reads_the_same_in_an_order_of_its_own() -> None:
    first, second = LOAD.targets(0), LOAD.targets(1)
    assert sorted(first) == sorted(second)
    assert first[0] != second[0]
    assert len({*first}) == LOAD.resources
    assert LOAD.requests == 16


async def test_a_hub_is_called_by_the_name_by_which_it_is_reached() -> None:
    place = Noting()
    tried = trial(place)
    await tried.start_github()
    assert tried.github == "http://github:8000"
    assert await tried.start_fleet() == ["runner-1", "runner-2"]
    assert [*place.started] == ["github", "hub", "runner-1", "runner-2"]
    hub, _ = place.started["hub"]
    assert "--hub" in hub
    runner, variables = place.started["runner-2"]
    assert runner[runner.index("--bootstrap") + 1] == "/dns4/hub/tcp/9100/p2p/12D3KooWHub"
    assert runner[runner.index("--upstream") + 1] == "http://github:8000"
    assert variables["CACHE_SECRET"] == place.started["hub"][1]["CACHE_SECRET"]
    assert variables["CACHE_JOB_TOKEN"] != place.started["runner-1"][1]["CACHE_JOB_TOKEN"]


async def test_without_a_hub_the_first_runner_is_called() -> None:
    place = Noting()
    await trial(place).start_fleet("second", hub=False, flags=("--backends", "s3"), variables={"CACHE_S3_BUCKET": "b"})
    assert [*place.started] == ["second-1", "second-2"]
    (first, variables), (second, _) = place.started.values()
    assert "--bootstrap" not in first
    assert second[second.index("--bootstrap") + 1].startswith("/dns4/second-1/tcp/9100/")
    assert (first[-2:], variables["CACHE_S3_BUCKET"]) == (["--backends", "s3"], "b")


async def test_without_p2p_nobody_is_called() -> None:
    place = Noting()
    await trial(place).start_fleet(p2p=False)
    assert [*place.started] == ["runner-1", "runner-2"]
    assert all("--no-p2p" in module and "--bootstrap" not in module for module, _ in place.started.values())


async def test_a_runner_without_a_peer_is_named_with_the_reason() -> None:
    place = Noting(peers={"connected": 0, "reasons": ["172.17.0.1:9100 refuses connections"]})
    with pytest.raises(UnexpectedError, match=r"^runner-1 was connected to no peer .*: 172\.17\.0\.1:9100 refuses"):
        await trial(place).connect(["runner-1"])


async def test_a_runner_that_knows_no_peer_is_named() -> None:
    with pytest.raises(UnexpectedError, match="it knows none"):
        await trial(Noting(peers={"connected": 0, "reasons": []})).connect(["runner-1"])


CALLS = [
    {"charged": True, "status": 200},
    {"charged": False, "status": 304},
    {"charged": True, "status": 304},
    {"charged": False, "status": 403},
]


async def test_figures_are_those_of_the_standin_and_the_workers() -> None:
    place = Noting(**{"/_stand-in/calls": CALLS}, peers={"connected": 2, "reasons": []})
    found = await trial(place).work(["runner-1", "runner-2"])
    assert (found.requests, found.charged, found.not_modified) == (16, 2, 1)
    assert (found.connected, found.peers) == (2, (2, 2))
    asked = [arguments["target"] for _, do, arguments in place.orders if do == "ask"]
    assert asked[0] == "/_stand-in/reset-calls"
    assert {arguments["at"] for _, do, arguments in place.orders if do == "work"} == {"/runner-1/s", "/runner-2/s"}


async def test_without_a_cache_github_is_asked_from_beside_it() -> None:
    place = Noting(**{"/_stand-in/calls": CALLS})
    tried = trial(place)
    await tried.start_github()
    found = await tried.work(["runner-1", "runner-2"], cache=False)
    assert found.peers == (0, 0)
    worked = [(name, arguments["at"]) for name, do, arguments in place.orders if do == "work"]
    assert worked == [(GITHUB, "http://github:8000")] * 4


async def test_answers_that_differ_are_wrong() -> None:
    class Lying(Noting):
        async def order(self, name: str, do: str, **arguments: Any) -> Any:
            found = await super().order(name, do, **arguments)
            return [{**answer, "digest": name} for answer in found] if do == "work" else found

    with pytest.raises(UnexpectedError, match="of 16 answers were wrong"):
        await trial(Lying()).work(["runner-1", "runner-2"])


async def test_answers_that_are_errors_are_wrong() -> None:
    class Failing(Noting):
        async def order(self, name: str, do: str, **arguments: Any) -> Any:
            found = await super().order(name, do, **arguments)
            return [{**answer, "status": 502} for answer in found] if do == "work" else found

    with pytest.raises(UnexpectedError, match="16 of 16 answers were wrong"):
        await trial(Failing()).work(["runner-1", "runner-2"])


async def test_a_fleet_that_ends_is_not_ended_again() -> None:
    place = Noting()
    tried = trial(place)
    await tried.start_fleet(hub=False)
    await tried.end_fleet()
    await tried.end_fleet()
    assert place.stopped == ["runner-1", "runner-2"]
