"""Octokit follows URLs as they are: they have to stay on the gateway."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import GitHub, Node

pytestmark = pytest.mark.needs("node")

HERE = Path(__file__).parent
PACKAGES = HERE.parents[1] / "node"


@pytest.fixture(params=["", "/api/v3"], ids=["plain", "enterprise layout"])
def base(request: pytest.FixtureRequest, node: Node) -> str:
    layout: str = request.param
    return node.api_url + layout


@pytest.fixture
def run(base: str, token: str, clean_environment: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """Runs a script with the packages of tests/node: read from stdin, it finds them beside its working directory."""

    def run(script: str) -> dict[str, Any]:
        command = ["node", "--input-type=module", "-", base, token]
        text = (HERE / script).read_text()
        done = subprocess.run(
            command,
            input=text,
            cwd=PACKAGES,
            env=clean_environment,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    return run


def test_octokit_rest_never_leaves_the_gateway_and_pays_once(
    run: Callable[..., dict[str, Any]], github: GitHub
) -> None:
    first = run("octokit.mjs")
    assert sorted(first["issues"]) == list(range(1, 49))
    assert first["renamed"] == "octo/new"
    assert first["followed"] == "octo/app"
    assert first["missing"] == 404
    paid = [call for call in github.calls() if call[1] != "/repos/octo/none"]
    assert run("octokit.mjs") == first
    assert [call for call in github.calls() if call[1] != "/repos/octo/none"] == paid
    assert len(paid) == len(set(paid)) == 3 + 2 + 1


def test_actions_github_never_leaves_the_gateway_and_pays_once(
    run: Callable[..., dict[str, Any]], github: GitHub
) -> None:
    first = run("actions-github.mjs")
    assert sorted(first["issues"]) == list(range(1, 49))
    assert (first["renamed"], first["graphql"]) == ("octo/new", "app")
    paid = github.calls()
    assert run("actions-github.mjs") == first
    assert github.calls() == paid
    assert len(paid) == 3 + 2 + 1
