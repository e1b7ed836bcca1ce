"""GitHub's own actions, unchanged, as a runner runs them: the second time they cost nothing."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.interception.table import NEWEST
from tests.support import command_files, programs
from tests.support.intercepted import InterceptedJob
from tests.support.world_machine import TOKEN

pytestmark = pytest.mark.needs("netns", "unshare", "openssl", "curl", "interception-clients")

FILES = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STATE", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
PULL = 46
"""Of the stand-in's octo/app, which has 45 issues."""


def run(
    job: InterceptedJob, folder: Path, name: str, inputs: Mapping[str, str], event: Mapping[str, Any]
) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """Run an action as a step of a job; returns its outputs too."""
    for file in FILES:
        (folder / file).write_text("")
    (folder / "event.json").write_text(json.dumps(event))
    environ = {
        **job.trusting,
        **{file: str(folder / file) for file in FILES},
        **{f"INPUT_{key.upper()}": value for key, value in inputs.items()},
        "GITHUB_ACTIONS": "true",
        "GITHUB_ACTOR": "octocat",
        "GITHUB_API_URL": "https://api.github.com",
        "GITHUB_EVENT_NAME": "pull_request_target" if event else "workflow_dispatch",
        "GITHUB_EVENT_PATH": str(folder / "event.json"),
        "GITHUB_GRAPHQL_URL": "https://api.github.com/graphql",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_REPOSITORY": "octo/app",
        "GITHUB_RUN_ID": "1",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_SHA": json.loads(job.curl("/repos/octo/app/branches/main", environ=job.bare).body)["commit"]["sha"],
        "GITHUB_WORKSPACE": str(folder),
        "RUNNER_TEMP": str(folder),
        "RUNNER_TOOL_CACHE": str(folder),
    }
    program = str(programs.program(name))
    done = job.world.run(NEWEST, program, environ=environ, seconds=60, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "::error" not in done.stdout, done.stdout
    return done, command_files.values(folder / "GITHUB_OUTPUT")


@contextlib.contextmanager
def costs_nothing(job: InterceptedJob) -> Iterator[None]:
    """What is done meanwhile is charged nothing but the harness's own look at the branch."""
    job.world.order("reset-calls")
    yield
    charged = [call["target"] for call in job.world.calls() if call["charged"]]
    assert charged == ["/repos/octo/app/branches/main"]


SCRIPT = """
const repo = context.repo;
const issues = await github.paginate(github.rest.issues.listForRepo, { ...repo, state: "all", per_page: 20 });
const { data } = await github.rest.repos.get(repo);
const { repository } = await github.graphql(
  "query($owner: String!, $repo: String!) { repository(owner: $owner, name: $repo) { name } }", repo);
const bare = await fetch(`https://api.github.com/repos/octo/app/labels`, {
  headers: { authorization: `token ${process.env["INPUT_GITHUB-TOKEN"]}` } });
return { issues: issues.length, name: data.full_name, graphql: repository.name, fetched: (await bare.json()).length };
"""


@pytest.mark.needs("actions/github-script")
def test_github_script(job: InterceptedJob, tmp_path: Path) -> None:
    inputs = {"script": SCRIPT, "github-token": TOKEN, "debug": "false", "result-encoding": "json", "retries": "0"}
    inputs |= {"retry-exempt-status-codes": "400,401", "user-agent": "actions/github-script"}
    _, first = run(job, tmp_path, "actions/github-script", inputs, {})
    assert json.loads(first["result"]) == {"issues": 48, "name": "octo/app", "graphql": "app", "fetched": 4}
    with costs_nothing(job):
        assert run(job, tmp_path, "actions/github-script", inputs, {})[1] == first


LABELS = """
source:
  - changed-files:
      - any-glob-to-any-file: "**"
"""


@pytest.mark.needs("actions/labeler")
def test_labeler(job: InterceptedJob, tmp_path: Path) -> None:
    job.world.order("edit", repo="octo/app", file=".github/labeler.yml", content=LABELS)
    inputs = {"repo-token": TOKEN, "configuration-path": ".github/labeler.yml", "sync-labels": "false", "dot": "true"}
    event = {"pull_request": {"number": PULL}, "number": PULL, "action": "opened"}
    _, outputs = run(job, tmp_path, "actions/labeler", inputs, event)
    assert outputs["new-labels"] == "source"
    assert "source" in [each["name"] for each in json.loads(job.curl(f"/repos/octo/app/issues/{PULL}/labels").body)]
    # The second has nothing to change, and reads what the first has changed.
    assert run(job, tmp_path, "actions/labeler", inputs, event)[1]["new-labels"] == ""
    with costs_nothing(job):
        assert run(job, tmp_path, "actions/labeler", inputs, event)[1]["new-labels"] == ""


@pytest.mark.needs("actions/stale")
def test_stale(job: InterceptedJob, tmp_path: Path) -> None:
    inputs = {
        "repo-token": TOKEN,
        "debug-only": "true",
        "days-before-stale": "60",
        "days-before-close": "7",
        "stale-issue-label": "Stale",
        "stale-pr-label": "Stale",
        "close-issue-reason": "not_planned",
        "stale-issue-message": "It is stale.",
        "stale-pr-message": "It is stale.",
        "operations-per-run": "100",
    }
    first, _ = run(job, tmp_path, "actions/stale", inputs, {})
    assert "This pull request is now stale" in first.stdout
    assert "This issue is now stale" in first.stdout
    with costs_nothing(job):
        run(job, tmp_path, "actions/stale", inputs, {})
