"""The doctor in real containers of each network mode: which one it finds, and whether the host's hub is reached."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from p2pcache.cache.sealing import generate_secret
from tests.e2e.conftest import Hub, StandIn

pytestmark = pytest.mark.needs("docker")

EVERYWHERE = "172.17.0.1"
"""The host, to its own network and to every container of a bridge."""


Doctor = Callable[..., tuple[int, dict[int, dict[str, Any]]]]


@pytest.fixture
def doctor(image: str, github: StandIn) -> Doctor:
    """Run checks 4 and 8 in a network; the exit status, and the checks by number."""

    def run(network: str, **variables: str) -> tuple[int, dict[int, dict[str, Any]]]:
        given = {"CACHE_UPSTREAM": github.at(EVERYWHERE), **variables}
        flags = [part for name, value in given.items() for part in ("-e", f"{name}={value}")]
        command = ["docker", "run", "--rm", "--network", network, *flags, image, "doctor", "--json", "--only", "4,8"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.stdout, done.stderr
        return done.returncode, {check["number"]: check for check in json.loads(done.stdout)["checks"]}

    return run


@pytest.mark.parametrize(
    ("mode", "found", "means"),
    [
        ("host", "host network: ", "a hub on the host is at 127.0.0.1"),
        ("bridge", "bridge network: ", "default gateway"),
        ("compose", "custom network (compose): ", "services are found by their names"),
    ],
)
def test_the_mode_is_found_and_the_hosts_hub_reached(
    mode: str,
    found: str,
    means: str,
    doctor: Doctor,
    hub: Callable[..., AbstractContextManager[Hub]],
    github: StandIn,
    network: Callable[..., str],
) -> None:
    with hub(upstream=github.at(EVERYWHERE)) as there:
        peers = f"/ip4/{EVERYWHERE}/tcp/{there.port}/p2p/{there.peer_id}"
        where = network("_default") if mode == "compose" else mode
        status, checks = doctor(where, CACHE_SECRET=there.secret, CACHE_BOOTSTRAP_PEERS=peers)
        (peer,) = checks[4]["findings"]
    assert status == 0, checks
    assert f"hub {there.peer_id}" in peer["found"]
    assert checks[8]["findings"][0]["found"].startswith(found)
    assert any(means in line for line in checks[8]["findings"][0]["detail"])


def test_without_a_network_both_checks_say_so(doctor: Doctor) -> None:
    status, checks = doctor("none", CACHE_SECRET=generate_secret(), CACHE_BOOTSTRAP_PEERS="/dns4/hub/tcp/9100")
    assert status == 1
    (peer,) = checks[4]["findings"]
    assert "the name hub is not resolved" in peer["found"]
    assert peer["advice"]
    (mode,) = checks[8]["findings"]
    assert mode["found"].startswith("none network: ")
    assert mode["advice"] == "run the container with --network bridge or host"


def test_a_hub_on_the_hosts_loopback_is_out_of_reach(
    doctor: Doctor, hub: Callable[..., AbstractContextManager[Hub]]
) -> None:
    """The classic mistake."""
    with hub("127.0.0.1") as there:
        peers = f"/ip4/{EVERYWHERE}/tcp/{there.port}"
        status, checks = doctor("bridge", CACHE_SECRET=there.secret, CACHE_BOOTSTRAP_PEERS=peers)
    (peer,) = checks[4]["findings"]
    assert (status, peer["verdict"]) == (1, "fail")
    assert f"--p2p-listen /ip4/0.0.0.0/tcp/{there.port}" in peer["advice"]
