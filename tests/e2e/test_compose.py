"""The compose file's own two promises: the example ends with its report, and the hub stays who it is."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("docker", "compose")

ROOT = Path(__file__).parents[2]


class Project:
    """A compose project of its own, on a port of its own."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as other:
            port, self.metrics_port = free.getsockname()[1], other.getsockname()[1]
        self._name = f"p2pcache-{secrets.token_hex(4)}"
        self._env = {**os.environ, "P2PCACHE_PORT": str(port), "CACHE_SECRET": secrets.token_hex(32)}
        self._env["P2PCACHE_METRICS_PORT"] = str(self.metrics_port)

    def __call__(self, *arguments: str, seconds: float = 300) -> str:
        command = ["docker", "compose", "-p", self._name, "-f", "docker-compose.ci.yml", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self._env, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def compose() -> Iterator[Project]:
    project = Project()
    yield project
    project("down", "--volumes", "--timeout", "5")


def test_the_example_runs_to_its_report(compose: Project) -> None:
    said = compose("up", "--build", "--abort-on-container-exit", "--exit-code-from", "runner")
    assert "API calls saved" in said
    assert "detail=peer" in said


def test_the_hub_keeps_its_identity_over_a_restart(compose: Project) -> None:
    def peer_id() -> str:
        compose("up", "--build", "--wait", "-d", "hub")
        identity = "from p2pcache.swarm import key_file; from pathlib import Path; "
        script = identity + "print(key_file.HeldKey(key_file.load(Path('/data/identity.key'))).identity.peer)"
        return compose("exec", "-T", "hub", "python", "-c", script).strip()

    first = peer_id()
    compose("rm", "--stop", "--force", "hub")
    assert peer_id() == first
    assert first.startswith("12D3")


def test_the_hub_is_watched_with_its_control_token(compose: Project) -> None:
    compose("up", "--build", "--wait", "-d", "hub")
    token = compose("exec", "-T", "hub", "cat", "/data/control-token").strip()
    url = f"http://127.0.0.1:{compose.metrics_port}/-/metrics"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert b"p2pcache_peers_connected 0.0" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(url, timeout=10)


def test_the_file_is_one_that_compose_understands(compose: Project) -> None:
    services = json.loads(compose("config", "--format", "json"))["services"]
    assert "healthcheck" in services["hub"]
