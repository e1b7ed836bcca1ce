"""Every network mode, in real containers: which one is told, where the hub is, or what would make it reachable."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Hub, StandIn

pytestmark = pytest.mark.needs("docker")

JOB = Path(__file__).parent / "job.py"
TARGET = "/repos/octo/app/branches"
TOKEN = "ghs_" + "e" * 36
MODES = ("not-docker", "host", "bridge", "custom", "compose", "container", "internal", "none")
SHARED = ("not-docker", "host")
"""Where 127.0.0.1 is the host's."""
EVERYWHERE = "172.17.0.1"
"""The host, to its processes and to all containers: members that share name one GitHub by one address."""


Job = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def job(image: str, github: StandIn, network: Callable[..., str], container: Callable[..., str]) -> Job:
    """Run a job in a network mode; what its later steps would see, and its log."""

    def run(mode: str, *, secret: str, port: int, within: str = "", ask: str = TARGET) -> tuple[dict[str, Any], str]:
        given = {
            "INPUT_TOKEN": TOKEN, "INPUT_SECRET": secret, "INPUT_BOOTSTRAP_PEERS": f"/tcp/{port}",
            "INPUT_LISTEN_PORT": "0", "GITHUB_REPOSITORY": "octo/app", "JOB_ASKS": ask,
            "INPUT_UPSTREAM": github.at(EVERYWHERE),
        }  # fmt: skip
        if mode == "not-docker":
            command, environ = [sys.executable, str(JOB)], {**os.environ, **given}
        else:
            flags = [part for name, value in given.items() for part in ("-e", f"{name}={value}")]
            where = within or network_of(mode)
            command = [
                "docker", "run", "--rm", "--network", where, *flags, "-v", f"{JOB}:/job.py:ro",
                "--entrypoint", "python", image, "/job.py",
            ]  # fmt: skip
            environ = dict(os.environ)
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        *log, last = done.stdout.splitlines()
        return json.loads(last), "\n".join(log) + done.stderr

    def network_of(mode: str) -> str:
        match mode:
            case "custom":
                return network("")
            case "compose":
                return network("_default")
            case "internal":
                return network("", "--internal")
            case "container":
                return "container:" + container("--entrypoint", "sleep", image, "120")
            case _:
                return mode

    return run


def told(mode: str) -> str:
    """The mode that is reported."""
    return {"compose": "custom", "internal": "custom"}.get(mode, mode)


@pytest.mark.parametrize("mode", [m for m in MODES if m not in ("none", "internal")])
def test_a_hub_on_the_host_is_found_and_serves(
    mode: str, job: Job, hub: Callable[..., AbstractContextManager[Hub]], github: StandIn
) -> None:
    with hub(upstream=github.at(EVERYWHERE)) as there:
        there.learn(TARGET)
        seen, log = job(mode, secret=there.secret, port=there.port)
    outputs = seen["outputs"]
    assert outputs["network-mode"] == told(mode), log
    assert outputs["p2p-connected"] == "true", log
    where = outputs["bootstrap-peers"].split("/")[2]
    assert (where == "127.0.0.1") == (mode in SHARED)
    assert f"the hub answers at {where}:{there.port}" in log
    assert "detail=peer" in seen["status"], log
    assert "1 of 1 API call saved" in seen["summary"]
    assert where in seen["summary"], "the resolved address is a row of the summary"


def test_an_internal_network_reaches_the_host_at_the_subnets_first_address(
    job: Job, hub: Callable[..., AbstractContextManager[Hub]]
) -> None:
    with hub() as there:
        seen, log = job("internal", secret=there.secret, port=there.port, ask="")
    assert seen["outputs"]["p2p-connected"] == "true", log
    assert "first address of the subnet" in log


def test_a_container_without_a_network_is_told_so(job: Job, hub: Callable[..., AbstractContextManager[Hub]]) -> None:
    with hub() as there:
        seen, log = job("none", secret=there.secret, port=there.port, ask="")
    assert seen["outputs"]["network-mode"] == "none"
    assert seen["outputs"]["p2p-connected"] == "false"
    assert "a container without a network reaches no hub: run it with --network bridge or host" in log


@pytest.mark.parametrize("mode", [m for m in MODES if m != "none"])
def test_a_hub_bound_to_the_loopback_is_explained(
    mode: str, job: Job, hub: Callable[..., AbstractContextManager[Hub]]
) -> None:
    """The classic mistake."""
    with hub("127.0.0.1") as there:
        seen, log = job(mode, secret=there.secret, port=there.port, ask="")
    if mode in SHARED:
        assert seen["outputs"]["p2p-connected"] == "true", log
        return
    assert seen["outputs"]["p2p-connected"] == "false"
    assert "a hub bound to 127.0.0.1 is reached in host mode only" in log
    assert f"--p2p-listen /ip4/0.0.0.0/tcp/{there.port}" in log
    assert "a hub bound to 127.0.0.1 is reached in host mode only" in seen["summary"]


@pytest.mark.parametrize("mode", [m for m in MODES if m not in ("none", "internal")])
def test_a_hub_in_a_compose_service_is_found(
    mode: str,
    job: Job,
    image: str,
    github: StandIn,
    network: Callable[..., str],
    container: Callable[..., str],
    docker: Callable[..., str],
    free_port: int,
) -> None:
    """By its name in its own network, by its published port elsewhere."""
    project = network("_default")
    secret = hashlib.sha256(b"the matrix").hexdigest()
    hub = container(
        "--network", project, "--network-alias", "hub", "-p", f"{free_port}:{free_port}",
        "-e", f"CACHE_SECRET={secret}", "-e", f"CACHE_UPSTREAM={github.at(EVERYWHERE)}", image,
        "serve", "--hub", "--listen", "127.0.0.1:8080", "--p2p-listen", f"/ip4/0.0.0.0/tcp/{free_port}",
        "--ready-file", "/tmp/ready.json",
    )  # fmt: skip
    ready = "import json,sys; sys.exit(json.load(open('/tmp/ready.json'))['p2p'] != 'ready')"
    until(lambda: docker_succeeds("exec", hub, "python", "-c", ready))
    seen, log = job(mode, secret=secret, port=free_port, within=project if mode == "compose" else "")
    outputs = seen["outputs"]
    assert outputs["network-mode"] == told(mode), log
    assert outputs["p2p-connected"] == "true", log
    assert outputs["bootstrap-peers"].startswith("/dns4/hub/") == (mode == "compose"), log
    assert seen["status"], "an answer came"


def docker_succeeds(*arguments: str) -> bool:
    return subprocess.run(["docker", *arguments], capture_output=True, timeout=20, check=False).returncode == 0


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
