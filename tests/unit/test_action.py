"""The two action.yml: what they promise to each other, to the runner and to actions/cache."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from p2pcache.runner.job import Job

ROOT = Path(__file__).parents[2]
COMPOSITE = yaml.safe_load((ROOT / "action.yml").read_text())
DOCKER = yaml.safe_load((ROOT / "docker/action.yml").read_text())
ONE_KIND_ONLY = {"job-token", "job-container", "job-network"}
COMPOSITE_ONLY = {"intercept"}
COMPOSITE_ONLY_OUTPUTS = {"proxy", "certificate"}
"""The container of the other sees no process of the job."""


WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))


@pytest.mark.parametrize(
    "file", [*WORKFLOWS, ROOT / "action.yml", ROOT / "docker/action.yml"], ids=lambda path: path.name
)
def test_actions_of_others_are_pinned_by_commit(file: Path) -> None:
    for used in re.findall(r"^[ -]+uses: (\S.*)$", file.read_text(), re.MULTILINE):
        assert used.startswith("./") or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", used), used


def test_the_workflow_and_the_script_check_the_same() -> None:
    def targets(text: str) -> set[str]:
        lines = re.findall(r"^(?:      - run: )?make ([a-z0-9 ]+)", text, re.MULTILINE)
        return {target for line in lines for target in line.split()}

    workflow = targets((ROOT / ".github/workflows/ci.yml").read_text())
    assert workflow == targets((ROOT / ".ci/run").read_text()) >= {"lint", "test", "coverage", "e2e"}


@pytest.fixture
def cache() -> dict[str, dict[str, str]]:
    """The step that keeps the store."""
    found: list[dict[str, dict[str, str]]] = [
        step for step in COMPOSITE["runs"]["steps"] if step.get("uses", "").startswith("actions/cache")
    ]
    (step,) = found
    return step


def test_both_kinds_take_the_same_inputs_and_give_the_same_outputs() -> None:
    assert set(COMPOSITE["inputs"]) ^ set(DOCKER["inputs"]) <= ONE_KIND_ONLY | COMPOSITE_ONLY
    for name in set(COMPOSITE["inputs"]) & set(DOCKER["inputs"]):
        assert COMPOSITE["inputs"][name] == DOCKER["inputs"][name], name
    described = {name: output["description"] for name, output in COMPOSITE["outputs"].items()}
    other = {name: output["description"] for name, output in DOCKER["outputs"].items()}
    assert {name: text for name, text in described.items() if name not in COMPOSITE_ONLY_OUTPUTS} == other


def test_every_input_of_the_composite_reaches_its_step() -> None:
    (start,) = [step for step in COMPOSITE["runs"]["steps"] if step.get("id") == "start"]
    assert start["env"] == {
        "INPUT_" + name.upper().replace("-", "_"): f"${{{{ inputs.{name} }}}}" for name in COMPOSITE["inputs"]
    } | {"INPUT_JOB_TOKEN": "${{ github.token }}", "JOB_CONTAINER": "${{ job.container.id }}"}


@pytest.mark.parametrize("kind", ["runner", "act"])
def test_the_docker_action_that_takes_over_has_every_input_and_fails_a_strict_job_alone(kind: str) -> None:
    (step,) = [step for step in COMPOSITE["runs"]["steps"] if step.get("id") == f"sibling-{kind}"]
    handed = [name for name in COMPOSITE["inputs"] if name not in COMPOSITE_ONLY]
    assert step["with"] == {name: f"${{{{ inputs.{name} }}}}" for name in handed}
    assert step["if"] == f"steps.start.outputs.sibling == '{kind}'"
    assert step["continue-on-error"] == "${{ inputs.strict == '' || inputs.strict == 'false' }}"


def test_an_output_is_that_of_the_step_that_ran() -> None:
    # What post/direct.sh writes.
    without_cache = {"api-url", "graphql-url", "p2p-connected"}
    for name, output in COMPOSITE["outputs"].items():
        handed = [] if name in COMPOSITE_ONLY_OUTPUTS else ["sibling-runner", "sibling-act"]
        steps = ["start", *handed, *(["direct"] if name in without_cache else [])]
        assert output["value"] == f"${{{{ {' || '.join(f'steps.{step}.outputs.{name}' for step in steps)} }}}}"


def test_the_store_is_kept_where_there_is_no_service_for_packs(cache: dict[str, dict[str, str]]) -> None:
    condition = str(cache["if"])
    assert "inputs.persist == 'true' && inputs.secret != ''" in condition
    assert "env.ACT == 'true'" in condition
    assert "github.server_url != 'https://github.com' && !endsWith(github.server_url, '.ghe.com')" in condition


def test_what_is_kept_is_the_store_alone(cache: dict[str, dict[str, str]], tmp_path: Path) -> None:
    path = cache["with"]["path"].replace("${{ runner.temp }}", str(tmp_path))
    assert Path(path) == Job.from_env({"RUNNER_TEMP": str(tmp_path)}).node / "store"


def test_a_matrix_keeps_one_entry_a_run(cache: dict[str, dict[str, str]]) -> None:
    key = cache["with"]["key"]
    assert set(re.findall(r"\$\{\{ (\S+) \}\}", key)) == {"runner.os", "github.run_id"}, (
        "the same for every job of a run"
    )
    assert key.startswith(cache["with"]["restore-keys"].strip())
