"""The image of a hub: as docs/deploying.md starts it, with as little as it needs, and to its end."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import await_

pytestmark = pytest.mark.needs("docker")

ROOT = Path(__file__).parents[2]
UNIT = (ROOT / "deploy/systemd/p2pcache-hub.service").read_text("utf-8")
START_SECONDS = 60
BARE = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "-e", "CACHE_UPSTREAM=http://github")
Docker = Callable[..., str]
Run = Callable[..., str]


@pytest.fixture(scope="module")
def hub_image(checkout: Path) -> str:
    name = "p2pcache-hub:e2e"
    command = ["docker", "build", "-q", "--target", "hub", "-t", name, str(checkout)]
    subprocess.run(command, check=True, capture_output=True, timeout=400)
    return name


@pytest.fixture
def volume(docker: Docker) -> Iterator[str]:
    """Removed after the containers, which `container` makes later."""
    name = docker("volume", "create", f"p2pcache-e2e-{secrets.token_hex(3)}")
    yield name
    docker("volume", "rm", name)


def until_healthy(docker: Docker, container: str) -> str:
    """Wait until the image's own check has said so; what it printed."""

    def health() -> str:
        state = json.loads(docker("inspect", "-f", "{{json .State}}", container))
        assert state["Running"], docker("logs", container)
        return str(state["Health"]["Log"][-1]["Output"]) if state["Health"]["Status"] == "healthy" else ""

    said: str = await_(health, START_SECONDS)
    return said


def test_a_hub_with_nothing_but_its_volume_is_healthy_ends_when_asked_and_is_the_same_again(
    hub_image: str, volume: str, container: Run, docker: Docker
) -> None:
    mounted = ("-v", f"{volume}:/data")
    first = container(*BARE, *mounted, hub_image)
    assert json.loads(until_healthy(docker, first)) == {"status": "ok"}
    assert docker("exec", first, "id", "-u") == "10001"
    identity = docker("exec", first, "cat", "/data/identity.key")
    docker("stop", first)
    assert docker("inspect", "-f", "{{.State.ExitCode}}", first) == "0", "and 137 if it had to be killed"
    second = container(*BARE, *mounted, hub_image)
    until_healthy(docker, second)
    assert docker("exec", second, "cat", "/data/identity.key") == identity
    docker("stop", second)


def test_the_check_fails_where_no_hub_answers(hub_image: str, docker: Docker) -> None:
    command = ["docker", "run", "--rm", "--entrypoint", "p2pcache-healthy", hub_image]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "the node does not answer /-/healthz: FileNotFoundError"


def test_flags_follow_the_images_own(hub_image: str, docker: Docker) -> None:
    command = ["docker", "run", "--rm", hub_image, "--gateway-host", "0.0.0.0:8443"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "CACHE_CONTROL_TOKEN" in done.stderr


@pytest.mark.needs("systemd-analyze")
def test_a_hub_runs_with_the_system_calls_that_its_unit_allows(
    hub_image: str, volume: str, container: Run, docker: Docker, tmp_path: Path
) -> None:
    """systemd itself is not here: the engine applies the same filter."""
    names = [
        line.removeprefix("SystemCallFilter=") for line in UNIT.splitlines() if line.startswith("SystemCallFilter=")
    ]
    allowed: set[str] = set()
    for line in names:
        members = {call for name in line.removeprefix("~").split() for call in system_calls(name)}
        allowed = allowed - members if line.startswith("~") else allowed | members
    assert len(allowed) > 100
    assert not allowed & {"mount", "setuid", "sched_setscheduler"}
    rules = [{"names": sorted(allowed), "action": "SCMP_ACT_ALLOW"}]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules}
    (tmp_path / "seccomp.json").write_text(json.dumps(profile))
    hub = container(*BARE, "-v", f"{volume}:/data", "--security-opt", f"seccomp={tmp_path}/seccomp.json", hub_image)
    assert json.loads(until_healthy(docker, hub)) == {"status": "ok"}
    docker("stop", hub)
    assert docker("inspect", "-f", "{{.State.ExitCode}}", hub) == "0"


def system_calls(name: str) -> set[str]:
    """Those in one of systemd's sets."""
    if not name.startswith("@"):
        return {name}
    said = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
    ).stdout
    lines = [line.strip() for line in said.splitlines()[1:]]
    return {call for line in lines if line and not line.startswith("#") for call in system_calls(line)}
