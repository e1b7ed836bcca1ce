"""The example and the document of interception as they are, on a machine with a GitHub of its own and no other network.

tests/e2e/test_examples.py runs the other examples; what each client does, and what goes wrong, is tried elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import command_files
from tests.support.world import World, world
from tests.support.world_machine import TOKEN

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/intercept/workflow.yml"
DOCUMENT = ROOT / "docs/interception.md"
TOOLKIT = ROOT / "tests/node/node_modules/@actions/github/lib/github.js"
SECONDS = 60
pytestmark = [pytest.mark.needs("netns", "curl", "jq", "node", "gh"), pytest.mark.timeout(200)]

PYTHON = """
import os, requests, urllib.request
url = os.environ["GITHUB_API_URL"] + "/repos/octo/app/labels"
headers = {"Authorization": "Bearer " + os.environ["GITHUB_TOKEN"]}
print(requests.get(url, headers=headers, timeout=60).headers.get("cache-status"))
with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
    print(answer.headers["cache-status"])
"""
SCRIPT = """
const { headers } = await github.rest.issues.listMilestones(context.repo);
core.info(headers["cache-status"]);
"""
GO = ["gh", "api", "-i", "repos/octo/app/tags"]


class Job:
    """A job in a world: what its Action's step exported, and its later steps."""

    def __init__(self, there: World, folder: Path, **place: str) -> None:
        self.world, self.folder = there, folder
        self.steps = {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "GITHUB_API_URL": "https://api.github.com",
            "GITHUB_REPOSITORY": "octo/app",
            "RUNNER_TEMP": str(folder / "temp"),
        }
        files = {name: str(folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
        for path in files.values():
            Path(path).touch()
        given = {"INPUT_ENABLE_P2P": "false", "INPUT_INTERCEPT": "true", "INPUT_JOB-TOKEN": TOKEN, "INPUT_TOKEN": TOKEN}
        self._action = {**self.steps, **files, **given, **place, "PYTHONPATH": str(ROOT), "GITHUB_ACTIONS": "true"}

    def action(self, verb: str) -> str:
        done = self.world.run(sys.executable, "-m", "p2pcache.runner.main", verb, environ=self._action, seconds=SECONDS)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def values(self, file: str) -> dict[str, str]:
        return command_files.values(self.folder / file)

    def run(self, *command: str, **variables: str) -> str:
        """Run a later step's command, with what the Action exported."""
        environ = {**self.steps, "GITHUB_TOKEN": TOKEN, **self.values("GITHUB_ENV"), **variables}
        done = self.world.run(*command, environ=environ, seconds=SECONDS, cwd=ROOT)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def stats(self) -> dict[str, Any]:
        asked = self.run(
            "curl", "-fsS", "--unix-socket", self.values("GITHUB_OUTPUT")["socket"], "http://localhost/-/stats"
        )
        return dict(json.loads(asked))

    def github_script(self, script: str, **variables: str) -> str:
        inputs = {"INPUT_SCRIPT": script, "INPUT_GITHUB-TOKEN": TOKEN, "TOOLKIT": TOOLKIT.as_uri()}
        return self.run("node", str(ROOT / "tests/e2e/github-script.js"), **inputs, **variables)


@contextlib.contextmanager
def job(folder: Path, **place: str) -> Iterator[tuple[Job, str]]:
    with world(folder) as there:
        made = Job(there, folder, **place)
        try:
            yield made, made.action("start")
        finally:
            made.action("finish")


def steps(workflow: Any) -> list[dict[str, Any]]:
    (found,) = workflow["jobs"].values()
    return [step for step in found["steps"] if not step.get("uses", "").startswith("p2pcache/")]


def test_the_steps_of_the_example_cost_nothing_the_second_time(tmp_path: Path) -> None:
    with job(tmp_path, JOB_CONTAINER="x") as (started, _):

        def run() -> str:
            return "".join(
                started.github_script(step["with"]["script"])
                if "uses" in step
                else started.run("bash", "-ec", step["run"])
                for step in steps(yaml.safe_load(EXAMPLE.read_text("utf-8")))
            )

        first, before = run(), started.stats()
        assert run() == first
        assert "octo/app, default branch main" in first
        after = started.stats()
        assert after["upstream"]["charged"] == before["upstream"]["charged"] > 0
        assert set(after["programs"]) == {"curl", "python", "node"}
        doctor = json.loads(started.run(sys.executable, "-m", "p2pcache", "doctor", "--only", "12", "--json"))
        (found,) = [each for each in doctor["checks"][0]["findings"] if "api.github.com" in each["found"]]
        assert found["verdict"] == "pass", found
    counted = json.loads((tmp_path / "temp/p2pcache/intercept/run/counts.json").read_bytes())
    assert set(counted["answered"]) == {"curl", "python", "node"}
    assert counted["failed"] == {}


def test_the_single_steps_of_the_document_are_served_where_names_do_not_lead_here(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(jobs:.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    with job(tmp_path, RUNNER_ENVIRONMENT="self-hosted") as (started, said):
        assert "other jobs share this machine's hosts file" in said
        assert "p2pcache" not in started.world.hosts
        outputs = started.values("GITHUB_OUTPUT")
        tried = []
        for step in steps(yaml.safe_load(block)):
            env = {
                name: re.sub(r"\$\{\{ steps\.cache\.outputs\.(\w+) \}\}", lambda found: outputs[found[1]], value)
                for name, value in step["env"].items()
            }
            for _ in (1, 2):
                said = with_client_of(step["name"], started, step, env)
            assert said.lower().count("; hit;") == said.lower().count("p2pcache;") > 0, said
            tried.append(step["name"])
    assert tried == ["Node, and actions in JavaScript", "Python", "curl", "Go"]


def with_client_of(name: str, started: Job, step: dict[str, Any], env: dict[str, str]) -> str:
    """What a client of the kind that a step is about got of the cache."""
    if name == "Python":
        return started.run(sys.executable, "-c", PYTHON, **env)
    if name == "Go":
        return started.run(*GO, GH_TOKEN=TOKEN, GH_CONFIG_DIR=str(started.folder / "none"), **env)
    if name == "curl":
        return started.run("bash", "-ec", step["run"].replace("curl -fsS", "curl -fsS -D- -o /dev/null"), **env)
    return started.github_script(SCRIPT, **env)
