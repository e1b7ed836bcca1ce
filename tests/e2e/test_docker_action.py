"""The Docker Action: as the runner runs its containers, and as act does."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Run, StandIn
from tests.support import command_files

pytestmark = pytest.mark.needs("docker")

TOKEN = "ghs_" + "e" * 36
CONTROL = "6c0n7r01Zq8Vw2Tm5Xk9Yb4Hd7Js3Lf1"
SECRET = "9e107d9d372bb6826bd81d3542a419d6e4d909c290d0fb1ca068ffaddf22cbd0"
RUNNER = 1001
"""The user of a hosted runner."""


Phase = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def runner(image: str, github: StandIn, tmp_path: Path) -> Iterator[tuple[Phase, Path]]:
    """One job's view of a runner: `_temp` and its command files, and the Action's containers, phase by phase."""
    temp = tmp_path / "_temp"
    commands = temp / "_runner_file_commands"
    commands.mkdir(parents=True)
    for name in ("output", "env", "summary"):
        (commands / name).touch()
    for path in (temp, commands):
        os.chown(path, RUNNER, RUNNER)

    def phase(name: str, *flags: str, engine: bool = True, **inputs: str) -> subprocess.CompletedProcess[str]:
        # actions/runner, ContainerActionHandler: root, on the default bridge, these mounts and paths.
        given = {
            "RUNNER_TEMP": "/github/runner_temp", "GITHUB_OUTPUT": "/github/file_commands/output",
            "GITHUB_ENV": "/github/file_commands/env", "GITHUB_STEP_SUMMARY": "/github/file_commands/summary",
            "GITHUB_REPOSITORY": "octo/app", "INPUT_TOKEN": TOKEN, "INPUT_SECRET": SECRET, "INPUT_LISTEN-PORT": "0",
            "INPUT_UPSTREAM": github.url, "INPUT_MODE": "auto", **inputs,
        }  # fmt: skip
        variables = [part for key, value in given.items() for part in ("-e", f"{key}={value}")]
        socket = ["-v", "/var/run/docker.sock:/var/run/docker.sock"] if engine else []
        command = [
            "docker", "run", "--rm", "--label", "e2e-runner", "--workdir", "/github/workspace", *variables, *socket,
            "-v", f"{temp}:/github/runner_temp", "-v", f"{commands}:/github/file_commands", *flags,
            "--entrypoint", f"/usr/local/bin/p2pcache-action/{name}", image,
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    yield phase, commands
    phase("finish")


def siblings() -> list[str]:
    listed = subprocess.run(
        ["docker", "ps", "-aq", "--filter", "label=e2e-runner"], capture_output=True, text=True, check=True
    )
    return listed.stdout.split()


@pytest.mark.needs("curl")
def test_the_engine_tells_nobody_what_the_node_was_told(runner: tuple[Phase, Path], docker: Callable[..., str]) -> None:
    phase, commands = runner
    started = phase("start", CACHE_CONTROL_TOKEN=CONTROL)
    assert started.returncode == 0, started.stdout + started.stderr
    (sibling,) = siblings()
    told = docker("inspect", sibling) + docker("logs", sibling) + docker("top", sibling, "-eo", "pid,args")
    for secret in (SECRET, TOKEN, CONTROL):
        assert secret not in told
    url = f"{command_files.values(commands / 'output')['api-url']}/-/stats"
    for token, status in ((CONTROL, "200"), ("another", "401")):  # which it knows all the same
        sent = ("-H", "X-Real-IP: 192.0.2.1", "-H", f"Authorization: Bearer {token}", url)
        asked = subprocess.run(("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *sent), capture_output=True)
        assert asked.stdout.decode() == status


@pytest.mark.needs("gh", "curl")
def test_a_job_on_the_host(runner: tuple[Phase, Path]) -> None:
    phase, commands = runner
    started = phase("start")
    assert started.returncode == 0, started.stdout + started.stderr
    outputs, variables = command_files.values(commands / "output"), command_files.values(commands / "env")
    assert outputs["network-mode"] == "host"
    assert len(siblings()) == 1, "with the runner's label, by which it cleans up"
    assert Path(outputs["socket"]).stat().st_uid == RUNNER, "the runner may empty its folder"

    curl = ["curl", "-fsS", "-D-", "-o", "/dev/null", "-H", f"Authorization: Bearer {TOKEN}"]
    for _ in range(2):
        answered = subprocess.run(
            [*curl, f"{variables['P2PCACHE_API_URL']}/repos/octo/app"], capture_output=True, text=True, check=True
        )
    assert "p2pcache; hit" in answered.stdout
    environ = {**os.environ, "GH_TOKEN": TOKEN, "GH_CONFIG_DIR": variables["GH_CONFIG_DIR"]}
    name = subprocess.run(
        ["gh", "api", "repos/octo/app", "--jq", ".name"], env=environ, capture_output=True, text=True, check=True
    )
    assert name.stdout.strip() == "app"

    again = phase("start")
    assert "this second use changes nothing" in again.stdout
    assert len(siblings()) == 1

    finished = phase("finish")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert re.search(r"\d of 3 API calls saved", (commands / "summary").read_text())
    assert siblings() == [], "nothing is left to the runner"
    assert not Path(variables["GH_CONFIG_DIR"], "config.yml").exists()
    assert json.loads(Path(outputs["stats-file"]).read_text())["requests"] == 3


def test_a_job_in_a_container(
    runner: tuple[Phase, Path],
    image: str,
    container: Callable[..., str],
    github: StandIn,
    docker: Callable[..., str],
    tmp_path: Path,
) -> None:
    """Later steps run in the job's container: its loopback and its paths are what counts."""
    phase, commands = runner
    job = container("-v", f"{tmp_path}:/__w", "--entrypoint", "sleep", image, "300")
    started = phase("start", **{"INPUT_JOB-CONTAINER": job, "INPUT_UPSTREAM": github.at("172.17.0.1")})
    assert started.returncode == 0, started.stdout + started.stderr
    outputs = command_files.values(commands / "output")
    assert outputs["network-mode"] == "container"
    assert outputs["socket"] == "/__w/_temp/p2pcache/node.sock"
    step = (
        f"import urllib.request as u; print(u.urlopen('{outputs['api-url']}/repos/octo/app').headers['cache-status'])"
    )
    assert "fwd-status=200" in docker("exec", job, "python", "-c", step)
    assert docker("exec", job, "test", "-S", outputs["socket"]) == ""


def test_without_an_engine_it_says_so(runner: tuple[Phase, Path]) -> None:
    """ARC's Kubernetes runners have no docker.sock."""
    phase, commands = runner
    started = phase("start", engine=False)
    assert started.returncode == 0
    assert "::warning::p2pcache: there is no Docker engine to be asked here" in started.stdout
    assert command_files.values(commands / "output")["api-url"].startswith("http://127.0.0.1:"), "the upstream itself"
    assert phase("start", engine=False, INPUT_STRICT="true").returncode == 1


def test_a_bad_input_is_told_by_the_sibling(runner: tuple[Phase, Path]) -> None:
    phase, _ = runner
    started = phase("start", INPUT_SHARE="everything")
    assert started.returncode == 0
    assert "input share: read 'everything'" in started.stdout
    assert siblings() == []


@pytest.mark.needs("act")
def test_under_act(act: Callable[..., Run], github: StandIn) -> None:
    run = act(
        """
on: push
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - id: cache
        uses: ./docker
        with:
          upstream: ${{ vars.UPSTREAM }}
          secret: ${{ secrets.CACHE_SECRET }}
          listen-port: 0
      - run: |
          for i in 1 2; do python3 -c 'if True:
            import os, urllib.request as u
            print(u.urlopen(os.environ["P2PCACHE_API_URL"] + "/repos/octo/app").headers["cache-status"])'; done
          test -S "${{ steps.cache.outputs.socket }}"
""",
        "-s",
        f"CACHE_SECRET={SECRET}",
        "--var",
        f"UPSTREAM={github.at('172.17.0.1')}",
        platform="python:3.11-slim-bookworm",
    )
    assert run.code == 0, run.log
    assert any(line.startswith("p2pcache; hit") for line in run.lines), run.log
    assert run.saved == (1, 2)


def test_the_image_is_small_and_has_no_compiler(image: str, docker: Callable[..., str]) -> None:
    base = int(docker("image", "inspect", "-f", "{{.Size}}", "python:3.11-slim-bookworm"))
    size = int(docker("image", "inspect", "-f", "{{.Size}}", image))
    assert size - base <= 200_000_000, f"{(size - base) / 1e6:.0f} MB over its base"
    tools = docker("run", "--rm", "--entrypoint", "sh", image, "-c", "command -v gcc cc make g++ || echo none")
    assert tools == "none"


def test_a_diagnosis_is_in_the_steps_log_and_in_the_summary(runner: tuple[Phase, Path]) -> None:
    phase, commands = runner
    started = phase("start", INPUT_DIAGNOSE="true")
    assert started.returncode == 0, started.stdout + started.stderr
    assert "::group::p2pcache doctor" in started.stdout
    assert " 3 pass  node: a node runs" in started.stdout
    assert SECRET not in started.stdout
    assert phase("finish").returncode == 0
    assert "### p2pcache doctor: " in (commands / "summary").read_text()
