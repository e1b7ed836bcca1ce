"""What is asked of Docker, and what is said where it does not answer: `docker` is a script here."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pcache.scenarios import containers
from p2pcache.scenarios.containers import IMAGE, Containers, DockerError, Seat, bridge_address, docker, usable_image
from p2pcache.scenarios.places import MissingError, UnexpectedError

Docker = Callable[[str], None]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def script(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Be `docker`: a shell script's body, which has the command in `$*`; each command is a line of the log."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()

    def write(body: str) -> None:
        program = tmp_path / "bin/docker"
        program.write_text(f'#!/bin/sh\necho "$*" >>{shlex.quote(str(log))}\n{body}\n')
        program.chmod(0o755)

    return write


def commands(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def quiet(step: str) -> None:
    pass


async def test_an_image_of_this_version_that_is_there_is_taken(script: Docker) -> None:
    script("exit 0")
    assert await usable_image("", quiet) == IMAGE
    assert await usable_image("mine:1", quiet) == "mine:1"


async def test_without_docker_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match=r"no Docker engine answers .*No such file.*: install one \(https://docs"):
        await usable_image("", quiet)


async def test_an_engine_that_does_not_answer_says_why(script: Docker) -> None:
    script("echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    with pytest.raises(MissingError, match="Cannot connect to the Docker daemon"):
        await usable_image("", quiet)


ABSENT = 'case "$1" in image) exit 1;; esac'


async def test_an_image_that_was_named_is_not_built(script: Docker, log: Path) -> None:
    script(ABSENT)
    with pytest.raises(MissingError, match="there is no image mine:1 on this machine: docker pull mine:1"):
        await usable_image("mine:1", quiet)
    assert not any(command.startswith("build") for command in commands(log))


async def test_in_a_checkout_the_image_is_built(script: Docker, log: Path) -> None:
    script(ABSENT)
    steps: list[str] = []
    assert await usable_image("", steps.append) == IMAGE
    assert commands(log)[-1].startswith(f"build -q -t {IMAGE} /")
    assert IMAGE in steps[0]


async def test_elsewhere_it_says_how_to_build_it(
    script: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(ABSENT)
    monkeypatch.setattr(containers, "_CHECKOUT", tmp_path)
    with pytest.raises(MissingError, match=f"run `docker build -t {IMAGE} .` in a checkout, or give --image"):
        await usable_image("", quiet)


async def test_an_image_that_cannot_be_built_says_why(script: Docker) -> None:
    script('case "$1" in image) exit 1;; build) echo "no registry" >&2; exit 1;; esac')
    with pytest.raises(MissingError, match="cannot be built: docker build: no registry: give another one by --image"):
        await usable_image("", quiet)


async def test_a_command_that_fails_or_hangs_is_named(script: Docker) -> None:
    script("sleep 600")
    with pytest.raises(DockerError, match=r"docker ps: no result within 0\.1 s"):
        await docker("ps", seconds=0.1)


def seats(name: str) -> Seat:
    return Seat("host", "172.17.0.1", "172.17.0.1") if name == "hub" else Seat("mine", "0.0.0.0", name)


LEFT = 'case "$1 $2" in "ps -a") echo "id1 id2";; "network ls") echo "net1";; esac'


async def test_containers_are_labelled_and_removed_with_their_network(script: Docker, log: Path) -> None:
    script(LEFT)
    async with Containers("image:1", "run-1", seats, "mine") as place:
        await place.start("runner-1", ("p2pcache", "serve"), {"CACHE_SECRET": "5ecre7"})
        await place.start("hub", ("p2pcache", "serve", "--hub"), {})
        assert (place.binds("hub"), place.reached("runner-1")) == ("172.17.0.1", "runner-1")
        await place.stop("runner-1")
        await place.stop()
    create, runner, hub, stop, listed, removed, networks, network = commands(log)
    assert create == "network create --label p2pcache.scenarios=run-1 mine"
    assert runner == (
        "run -d --pull never --name run-1-runner-1 --label p2pcache.scenarios=run-1 --network mine "
        "--network-alias runner-1 -e CACHE_SECRET --entrypoint python image:1 -m p2pcache serve"
    )
    assert "--network host --entrypoint" in hub
    assert stop == "stop -t 10 run-1-runner-1"
    assert listed == "ps -a -q --filter label=p2pcache.scenarios=run-1"
    assert networks == "network ls -q --filter label=p2pcache.scenarios=run-1"
    assert (removed, network) == ("rm -f id1 id2", "network rm net1")
    assert not any("5ecre7" in command for command in commands(log))


async def test_secrets_reach_a_container_by_the_environment(script: Docker, tmp_path: Path) -> None:
    script(f'case "$1" in run) echo "$CACHE_SECRET" >{tmp_path}/seen;; esac')
    async with Containers("image:1", "run-1", seats) as place:
        await place.start("runner-1", ("p2pcache",), {"CACHE_SECRET": "5ecre7"})
    assert (tmp_path / "seen").read_text() == "5ecre7\n"


async def test_what_was_being_started_is_removed_when_a_signal_comes(script: Docker, log: Path, tmp_path: Path) -> None:
    """A container may be there although `docker run` did not end."""
    gate = tmp_path / "gate"
    script(f'case "$1" in run) while [ ! -e {gate} ]; do sleep 0.01; done; echo made >>{log};; ps) echo id1;; esac')

    async def scenario() -> None:
        async with Containers("image:1", "run-1", seats) as place:
            await place.start("runner-1", ("p2pcache",), {})

    task = asyncio.create_task(scenario())
    async with asyncio.timeout(30):
        while not commands(log):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0)
    gate.touch()
    with pytest.raises(asyncio.CancelledError):
        await task
    of_this_run = "-q --filter label=p2pcache.scenarios=run-1"
    assert commands(log)[1:] == ["made", f"ps -a {of_this_run}", "rm -f id1", f"network ls {of_this_run}"]


async def test_a_network_that_was_being_made_is_removed_when_that_fails(script: Docker, log: Path) -> None:
    script(f'{LEFT}; case "$2" in create) echo "no subnet left" >&2; exit 1;; esac')
    with pytest.raises(DockerError, match="docker network: no subnet left"):
        async with Containers("image:1", "run-1", seats, "mine"):
            pytest.fail("there is no network")
    assert commands(log)[-1] == "network rm net1"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('echo \'{"error": "not ready"}\'', "^hub: not ready$"),
        ("echo 'No module named p2pcache.scenarios' >&2; exit 1", "^hub: image:1 is of another version"),
        ("exit 1", "^hub: it ended: the address is taken$"),
    ],
)
async def test_an_order_that_fails_has_a_reason(script: Docker, body: str, said: str) -> None:
    script(
        f'case "$1" in exec) {body};; inspect) {"echo false" if "ended" in said else "echo true"};;'
        ' logs) echo "the address is taken" >&2;; esac'
    )
    place = Containers("image:1", "run-1", seats)
    with pytest.raises(UnexpectedError, match=said):
        await place.order("hub", "ready", file="/tmp/x")


async def test_the_hosts_address_on_the_bridge(script: Docker) -> None:
    script("echo '172.18.0.1 fd00::1 '")
    assert await bridge_address() == "172.18.0.1"
    script("echo ''")
    with pytest.raises(MissingError, match="has no address of the host"):
        await bridge_address()
    script("echo 'network bridge not found' >&2; exit 1")
    with pytest.raises(MissingError, match="network bridge not found"):
        await bridge_address()
