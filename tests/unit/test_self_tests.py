"""The workflows that show the Action on real runners: each job stands for itself, and rights are as few as can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOWS = Path(__file__).parents[2] / ".github/workflows"
SELF_TEST = yaml.safe_load((WORKFLOWS / "self-test.yml").read_text("utf-8"))
EXAMPLE = yaml.safe_load((WORKFLOWS / "example-p2p-cache.yml").read_text("utf-8"))
JOBS = {**SELF_TEST["jobs"], **EXAMPLE["jobs"]}
WITHOUT_THE_ACTION = {"bridge-network", "compose", "sentences-are-in-the-log"}
"""Their nodes run in containers of their own; or they look at another job."""
OWN = {"./", "./docker"}


def test_there_are_enough_of_them() -> None:
    assert len(SELF_TEST["jobs"]) >= 15


@pytest.mark.parametrize("name", JOBS)
def test_a_job_tries_this_checkouts_action_and_asserts_something_after_it(name: str) -> None:
    job: dict[str, Any] = JOBS[name]
    assert job["timeout-minutes"] <= 10
    used = [number for number, step in enumerate(job["steps"]) if step.get("uses") in OWN]
    assert bool(used) == (name not in WITHOUT_THE_ACTION)
    if used:
        assert any("run" in step or "script" in step.get("with", {}) for step in job["steps"][used[-1] + 1 :])


@pytest.mark.parametrize("workflow", [SELF_TEST, EXAMPLE], ids=["self-test", "example"])
def test_nothing_but_reading_the_repository_is_allowed_by_default(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}


def test_only_a_job_that_writes_may_and_never_for_a_fork() -> None:
    writing = {name: job for name, job in JOBS.items() if "write" in job.get("permissions", {}).values()}
    assert set(writing) == {"a-write-is-read-back-at-once"}
    assert all(job["if"] == "github.event_name == 'push'" for job in writing.values())
