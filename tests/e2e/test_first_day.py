"""The first day: several jobs on one host at once, and mistakes that are told. The composite Action, under act."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Hub, Run
from tests.support.workflows import USE

pytestmark = [
    pytest.mark.needs("act", "node", "gh", "curl", "jq"),
    pytest.mark.usefixtures("nothing_left_behind", "environment"),
]

SIZE = 8
MEETING = Path(__file__).parents[1] / "support" / "meeting.py"
JOB = """
  {name}:
    runs-on: ubuntu-latest
    env: {{GITHUB_TOKEN: "${{{{ secrets.GITHUB_TOKEN }}}}"{variables}}}
    steps:
"""
SECRET = secrets.token_hex(32)


@pytest.fixture(scope="session")
def built() -> set[bool]:
    """Whether the runner's environment is there."""
    return set()


@pytest.fixture
def environment(act: Callable[..., Run], built: set[bool]) -> None:
    """A job before the others, so that these do not all build the environment at once."""
    if not built:
        run = act("on: push\njobs:" + JOB.format(name="first", variables="") + USE, "-s", f"CACHE_SECRET={SECRET}")
        assert run.code == 0, run.log
        built.add(True)


@pytest.fixture
def together(act: Callable[..., Run], tmp_path: Path) -> Callable[..., tuple[list[dict[str, Any]], Run]]:
    """Run `SIZE` jobs at once; what each says when all have met, and the log."""

    def run(inputs: str, *, secret: str, peers: int, variables: str = "") -> tuple[list[dict[str, Any]], Run]:
        marks = tmp_path / "marks"
        marks.mkdir()
        meet = f"      - run: {sys.executable} {MEETING} {marks} ${{{{ github.job }}}} {SIZE} {peers}\n"
        tell = '      - run: echo "connected ${{ steps.cache.outputs.p2p-connected }}"\n'
        jobs = [JOB.format(name=f"job{n}", variables=variables) + USE + inputs + meet + tell for n in range(SIZE)]
        at_once = ("--concurrent-jobs", str(SIZE))
        done = act("on: push\njobs:" + "".join(jobs), *at_once, "-s", f"CACHE_SECRET={secret}")
        assert done.code == 0, done.log
        return [json.loads(line.removeprefix("met ")) for line in done.lines if line.startswith("met ")], done

    return run


def all_there(met: list[dict[str, Any]], run: Run) -> None:
    """Every node is a peer of its own, and what later steps are told of it is true."""
    assert len(met) == len({one["peer_id"] for one in met}) == SIZE, run.log
    assert all(one["answers"] for one in met)
    assert all(one["multiaddr"].split("/")[4] == one["port"] for one in met)
    assert len({one["port"] for one in met}) == SIZE


@pytest.mark.timeout(400)
def test_eight_jobs_that_start_together_are_all_at_the_hosts_hub(
    together: Callable[..., tuple[list[dict[str, Any]], Run]], hub: Callable[..., AbstractContextManager[Hub]]
) -> None:
    with hub() as there:
        inputs = f"          bootstrap-peers: /tcp/{there.port}\n          strict: true\n"
        met, run = together(inputs, secret=there.secret, peers=1)
    all_there(met, run)
    assert all(there.peer_id in one["peers"] for one in met)
    assert run.lines.count("connected true") == SIZE, run.log
    assert "::warning" not in run.log


@pytest.mark.timeout(400)
def test_a_port_that_all_wish_for_is_one_jobs_and_the_others_go_on(
    together: Callable[..., tuple[list[dict[str, Any]], Run]],
    hub: Callable[..., AbstractContextManager[Hub]],
    free_port: int,
) -> None:
    with hub() as there:
        inputs = f"          bootstrap-peers: /tcp/{there.port}\n          listen-port: {free_port}\n"
        met, run = together(inputs, secret=there.secret, peers=1)
    all_there(met, run)
    assert sum(one["port"] == str(free_port) for one in met) == 1
    assert run.log.count(f"port {free_port} cannot be had: peers reach this node at port") == SIZE - 1


@pytest.mark.timeout(400)
def test_without_a_hub_jobs_that_look_for_each_other_by_multicast_meet(
    together: Callable[..., tuple[list[dict[str, Any]], Run]], free_port: int
) -> None:
    met, run = together(
        f"          bootstrap-peers: /tcp/{free_port}\n",
        secret=SECRET,
        peers=SIZE - 1,
        variables=', CACHE_MDNS: "true"',
    )
    all_there(met, run)


def one_job(inputs: str, *steps: str) -> str:
    rest = "".join(f"      - run: {step}\n" for step in steps)
    return "on: push\njobs:" + JOB.format(name="one", variables="") + USE + inputs + rest


TOLD = 'echo "connected ${{ steps.cache.outputs.p2p-connected }}"'
DIFFERS = "the swarm secrets differ: input secret has to be the same on both sides"


@pytest.mark.parametrize("strict", [False, True])
def test_a_wrong_secret_is_told(
    act: Callable[..., Run], hub: Callable[..., AbstractContextManager[Hub]], strict: bool
) -> None:
    with hub() as there:
        inputs = f"          bootstrap-peers: /tcp/{there.port}\n          strict: {str(strict).lower()}\n"
        run = act(one_job(inputs, TOLD), "-s", f"CACHE_SECRET={SECRET}")
    kind = "error" if strict else "warning"
    assert run.log.count(f"::{kind}") == 1, run.log
    assert DIFFERS in run.log.partition(f"::{kind}")[2].splitlines()[0]
    assert (run.code != 0) == strict
    if not strict:
        assert "connected false" in run.lines
        assert f"| Swarm | not in the swarm: {DIFFERS}" in run.summary.replace("&#47;", "/")


NOWHERE = "/dns4/hub.p2pcache.invalid/tcp"


@pytest.mark.parametrize("strict", [False, True])
def test_another_hub_than_the_one_named_is_not_taken_silently_and_with_strict_not_at_all(
    act: Callable[..., Run], hub: Callable[..., AbstractContextManager[Hub]], strict: bool
) -> None:
    with hub() as there:
        inputs = f"          bootstrap-peers: {NOWHERE}/{there.port}\n          strict: {str(strict).lower()}\n"
        run = act(one_job(inputs, TOLD), "-s", f"CACHE_SECRET={there.secret}")
    where = f"hub.p2pcache.invalid:{there.port}"
    if strict:
        assert run.code != 0
        assert "::error" in run.log
        assert f"no hub reached ({where}" in run.log
    else:
        assert run.code == 0, run.log
        [warning] = [line for line in run.log.splitlines() if "::warning" in line]
        assert f"the hub that was named is not at {where}" in warning
        assert f"the one at 127.0.0.1:{there.port} (loopback of the host) is used instead" in warning
        assert "connected true" in run.lines
        assert "| Named |" in run.summary


def test_a_hub_that_is_named_and_does_not_answer_fails_a_strict_job_only(
    act: Callable[..., Run], free_port: int
) -> None:
    named = f"          bootstrap-peers: /ip4/127.0.0.1/tcp/{free_port}\n"
    run = act(one_job(named, TOLD), "-s", f"CACHE_SECRET={SECRET}")
    assert run.code == 0, run.log
    assert f"127.0.0.1:{free_port} refused" in run.log.partition("::warning")[2].splitlines()[0]
    assert "connected false" in run.lines
    strict = act(one_job(named + "          strict: true\n", TOLD), "-s", f"CACHE_SECRET={SECRET}")
    assert strict.code != 0
    assert "connected false" not in strict.lines, "the steps after it are not run"
