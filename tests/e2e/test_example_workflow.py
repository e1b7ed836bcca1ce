"""Each job of the example workflow, under act: the file as it is, but for names that are this machine's."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Run, StandIn

pytestmark = [pytest.mark.needs("act", "docker", "node", "curl", "jq"), pytest.mark.timeout(400)]

WORKFLOW = (ROOT / ".github/workflows/example-p2p-cache.yml").read_text()
BRIDGE = "172.17.0.1"
"""Where containers of every network reach this machine, and it itself."""
NODE_IMAGE = """
FROM python:3.11-slim-bookworm
COPY node /usr/local/bin/node
"""


@pytest.fixture(scope="session")
def hub_image(checkout: Path, image: str) -> str:
    """The hub's image; all but its last layers are those of `image`."""
    name = f"{image.partition(':')[0]}-hub-example:1"
    subprocess.run(
        ["docker", "build", "-q", "--target", "hub", "-t", name, str(checkout)],
        check=True, capture_output=True, timeout=400,
    )  # fmt: skip
    return name


@pytest.fixture(scope="session")
def node_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Python and Node.js: GitHub's runner brings its own Node.js into a job's container, act does not."""
    folder = tmp_path_factory.mktemp("node-image")
    shutil.copy(Path(str(shutil.which("node"))).resolve(), folder / "node")
    (folder / "Dockerfile").write_text(NODE_IMAGE)
    name = "p2pcache-e2e-node:example"
    subprocess.run(["docker", "build", "-q", "-t", name, str(folder)], check=True, capture_output=True, timeout=200)
    return name


Example = Callable[..., Run]


@pytest.fixture
def example(act: Callable[..., Run], github: StandIn, free_port: int, docker: Callable[..., str]) -> Iterator[Example]:
    """Run one job of the workflow; what is given besides takes the place of what the file has."""
    mark = f"p2pcache-example-{secrets.token_hex(3)}"

    def run(job: str, *flags: str, **replaced: str) -> Run:
        text = re.sub(r"(?<!:)9100", str(free_port), WORKFLOW).replace("p2pcache-hub", "p2pcache-hub:e2e-example")
        text = re.sub(r"(--name|exec(?: -e GITHUB_TOKEN)?) hub\b", rf"\1 {mark}", text)
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        done = act(
            text, "-j", job, "-s", f"CACHE_SECRET={secrets.token_hex(32)}",
            "--env", f"GITHUB_API_URL={github.at(BRIDGE)}", "--env", f"GITHUB_GRAPHQL_URL={github.at(BRIDGE)}/graphql",
            *flags,
        )  # fmt: skip
        assert done.code == 0, done.log
        return done

    yield run
    subprocess.run(["docker", "rm", "-fv", mark], capture_output=True, timeout=60, check=False)


def test_host_network(example: Example, hub_image: str) -> None:
    run = example("host-network")
    assert "network mode: not-docker" in run.lines
    assert "p2pcache; hit" in run.log
    assert "detail=peer" in run.log
    assert run.saved == (1, 1)


def test_bridge_network(example: Example, hub_image: str) -> None:
    run = example("bridge-network")
    assert "this job works alone" not in run.log
    assert re.search(r"1\d of 15 API calls saved", run.log), run.log


def test_compose(example: Example, monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    name = f"p2pcache-example-{secrets.token_hex(3)}"
    settings = {"COMPOSE_PROJECT_NAME": name, "P2PCACHE_PORT": str(free_port), "P2PCACHE_METRICS_PORT": "0"}
    run = example("compose", *(f"--env={key}={value}" for key, value in settings.items()))
    assert "detail=peer" in run.log
    assert run.log.count("API calls saved") == 2, "each of its two jobs has its report"


def test_container_job(example: Example, hub_image: str, node_image: str) -> None:
    image = hub_image.removesuffix(":1")
    run = example("container-job", "--var", f"IMAGE={image}", **{"python:3.13-slim-bookworm": node_image})
    assert "network mode: custom, connected: true" in run.lines


def test_diagnosis(example: Example) -> None:
    run = example("diagnosis")
    assert re.search(r"\d+ checks: \d+ passed", run.log), run.log
    assert "::error" not in run.log


def test_validation(example: Example) -> None:
    run = example("validation")
    assert "equal: 2 branches" in run.lines
    assert "with another token: 401" in run.lines


def test_statistics(example: Example) -> None:
    assert example("statistics").saved == (2, 3)


def test_every_job_has_a_test() -> None:
    jobs = re.findall(r"^  ([a-z-]+):\n    (?:runs-on|if)", WORKFLOW, re.MULTILINE)
    assert {f"test_{job.replace('-', '_')}" for job in jobs} <= set(globals())
