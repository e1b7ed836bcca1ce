"""The programs of examples/, as a reader runs them: through a node, and without one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.processes import GitHub, Node

EXAMPLES = Path(__file__).parents[3] / "examples"
PACKAGES = Path(__file__).parents[2] / "node"

Run = Callable[..., str]


@pytest.fixture
def variables(clean_environment: dict[str, str], token: str, node: Node, tmp_path: Path) -> dict[str, str]:
    """What a step of a job finds, or a command below `p2pcache run`."""
    (tmp_path / "config.yml").write_text(f'version: "1"\nhttp_unix_socket: {node.socket}\n')
    led = {"P2PCACHE_API_URL": node.api_url, "P2PCACHE_SOCKET": str(node.socket), "GH_CONFIG_DIR": str(tmp_path)}
    return clean_environment | led | {"GITHUB_TOKEN": token}


@pytest.fixture
def run(variables: dict[str, str]) -> Run:
    """Run a program to its end; what it printed on stdout."""

    def run(*command: str | Path, stdin: str = "", cwd: Path | None = None) -> str:
        done = subprocess.run(
            command, input=stdin, cwd=cwd, env=variables, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def pygithub(run: Run) -> str:
    return run(sys.executable, EXAMPLES / "pygithub/issues_by_label.py", "octo/app")


def octokit(run: Run) -> str:
    # A module from stdin finds its packages beside the working directory.
    script = (EXAMPLES / "octokit/issues-by-label.mjs").read_text()
    return run("node", "--input-type=module", "-", "octo/app", stdin=script, cwd=PACKAGES)


def gh(run: Run) -> str:
    return run(EXAMPLES / "gh/overview.sh", "octo/app")


def curl(run: Run) -> str:
    return run(EXAMPLES / "curl/branches.sh", "octo/app")


PROGRAMS = [
    pygithub,
    pytest.param(octokit, marks=pytest.mark.needs("node")),
    pytest.param(gh, marks=pytest.mark.needs("gh")),
    pytest.param(curl, marks=pytest.mark.needs("curl", "jq")),
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_run_twice_is_paid_once(program: Callable[[Run], str], run: Run, github: GitHub) -> None:
    first = program(run)
    assert first.strip()
    paid = github.calls()
    assert paid, "it went through this node"
    assert program(run) == first
    assert github.calls() == paid


@pytest.mark.needs("node")
def test_the_programs_for_python_and_javascript_find_the_same(run: Run) -> None:
    assert sorted(pygithub(run).splitlines()) == sorted(octokit(run).splitlines()) != []


@pytest.mark.needs("gh")
def test_what_gh_finds_is_what_the_repository_has(run: Run, github: GitHub, token: str) -> None:
    lines = dict(line.split(":", 1) for line in gh(run).splitlines())
    assert lines["octo/app"].strip()
    assert int(lines["issues"]) > 0
    assert int(lines["branches"]) == github.get("/repos/octo/app/branches?per_page=100", token).count(b'"protected"')


@pytest.mark.needs("curl", "jq")
def test_curl_follows_the_pages_through_the_cache(
    run: Run, github: GitHub, token: str, variables: dict[str, str], tmp_path: Path
) -> None:
    few = tmp_path / "branches.sh"
    few.write_text((EXAMPLES / "curl/branches.sh").read_text().replace("per_page=100", "per_page=1"))
    whole, paged = curl(run), run("sh", few, "octo/app")
    assert whole.split() == paged.split()
    assert len(whole.split()) > 1
    assert any("&page=2" in target for _, target in github.calls())


def test_a_program_without_a_repository_shows_how_it_is_used() -> None:
    commands: list[list[str | Path]] = [
        [sys.executable, EXAMPLES / "pygithub/issues_by_label.py"],
        [EXAMPLES / "gh/overview.sh"],
    ]
    for command in commands:
        done = subprocess.run(
            command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode != 0
        assert "OWNER/REPO" in done.stderr
