"""The example, the document and the doctor of interception, as they are (others: tests/e2e/test_examples.py)."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.intercepted import API, ROOT, InterceptedJob, intercepted
from tests.support.world import World
from tests.support.world_machine import TOKEN

pytestmark = pytest.mark.needs("netns", "unshare", "openssl", "curl", "jq", "node", "gh")

EXAMPLE = ROOT / "examples/intercept/workflow.yml"
DOCUMENT = ROOT / "docs/interception.md"
TOOLKIT = (ROOT / "tests/node/node_modules/@actions/github/lib/github.js").as_uri()
GITHUB_SCRIPT = ROOT / "tests/e2e/github-script.js"
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


def run(job: InterceptedJob, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a later step's command."""
    step = {"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": API, "GITHUB_REPOSITORY": "octo/app", "PYTHONPATH": str(ROOT)}
    return job.world.run(*command, environ={**job.trusting, **step, **variables}, seconds=60)


def said(job: InterceptedJob, *command: str, **variables: str) -> str:
    done = run(job, *command, **variables)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def github_script(job: InterceptedJob, script: str, **variables: str) -> str:
    inputs = {"INPUT_SCRIPT": script, "INPUT_GITHUB-TOKEN": TOKEN, "TOOLKIT": TOOLKIT}
    return said(job, "node", str(GITHUB_SCRIPT), **inputs, **variables)


def steps(workflow: Any) -> list[dict[str, Any]]:
    """The steps of a workflow's only job, without the Action's own."""
    (found,) = workflow["jobs"].values()
    return [step for step in found["steps"] if not step.get("uses", "").startswith("p2pcache/")]


def of_example(job: InterceptedJob, step: Mapping[str, Any]) -> str:
    return github_script(job, step["with"]["script"]) if "uses" in step else said(job, "bash", "-ec", step["run"])


def test_the_steps_of_the_example_cost_nothing_the_second_time(job: InterceptedJob) -> None:
    example = steps(yaml.safe_load(EXAMPLE.read_text("utf-8")))
    first = [of_example(job, step) for step in example]
    charged = job.world.charged()
    assert [of_example(job, step) for step in example] == first
    assert "octo/app, default branch main" in first[-1]
    assert job.world.charged() == charged


def about_names(job: InterceptedJob, address: str = "127.0.0.9,", **variables: str) -> dict[str, str]:
    """What the doctor finds, in a step, of the names that lead to an address."""
    asked = run(job, sys.executable, "-m", "p2pcache", "doctor", "--only", "12", "--json", **variables)
    assert asked.stdout, asked.stderr
    found = json.loads(asked.stdout)["checks"][0]["findings"]
    (finding,) = [finding for finding in found if address in finding["found"]]
    return dict(finding)


def test_the_doctor_holds_the_variables_against_the_certificate(job: InterceptedJob) -> None:
    assert about_names(job)["verdict"] == "pass"
    for variable in ("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"):
        finding = about_names(job, **{variable: ""})
        assert (finding["verdict"], f"{variable} is not set" in finding["found"]) == ("warn", True), finding
    assert job.counts["failed"] == {}


def of_document(job: InterceptedJob, step: Mapping[str, Any], env: Mapping[str, str]) -> str:
    """What a client of the kind that a step is about shows of the cache."""
    match step["name"]:
        case "Python":
            return said(job, sys.executable, "-c", PYTHON, **env)
        case "Go":
            return said(job, "gh", "api", "-i", "repos/octo/app/tags", GH_TOKEN=TOKEN, GH_CONFIG_DIR="/nowhere", **env)
        case "curl":
            return said(job, "bash", "-ec", step["run"].replace("curl -fsS", "curl -fsS -D- -o /dev/null"), **env)
    return github_script(job, SCRIPT, **env)


def test_the_single_steps_of_the_document_are_served_where_names_do_not_lead_here(world: World, tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(jobs:.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    tried = []
    with intercepted(world, tmp_path / "shared", JOB_CONTAINER="") as job:
        outputs = job.outputs
        for step in steps(yaml.safe_load(block)):
            env = {
                name: re.sub(r"\$\{\{ steps\.cache\.outputs\.(\w+) \}\}", lambda found: outputs[found[1]], value)
                for name, value in step["env"].items()
            }
            of_document(job, step, env)
            again = of_document(job, step, env).lower()
            assert again.count("p2pcache; hit") == again.count("p2pcache;") > 0, again
            tried.append(step["name"])
    assert tried == ["Node, and actions in JavaScript", "Python", "curl", "Go"]


def test_a_line_that_is_left_is_found_with_the_command_that_removes_it(world: World, tmp_path: Path) -> None:
    job = InterceptedJob(world, tmp_path / "later")
    (tmp_path / "later" / "GITHUB_ENV").touch()
    before = world.hosts
    with (world.folder / "hosts").open("a") as hosts:
        hosts.write("127.0.0.99 api.github.com # p2pcache p2pcache-1-abcd 10.9.0.2\n")
    finding = about_names(job, "127.0.0.99")
    assert finding["verdict"] == "fail"
    said(job, *shlex.split(finding["advice"].partition("with: ")[2]))
    assert world.hosts == before
