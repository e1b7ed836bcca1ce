"""Debian's gh over the node's socket, unchanged."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pcache import GitHubCLI
from p2pcache.client import GitHubCLIError
from tests.support.processes import GitHub, Node

pytestmark = pytest.mark.needs("gh")


@pytest.fixture
def gh(
    node: Node, token: str, clean_environment: dict[str, str], tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs gh as the Action sets it up."""
    (tmp_path / "config.yml").write_text(f'version: "1"\nhttp_unix_socket: {node.socket}\n')
    env = clean_environment | {"GH_CONFIG_DIR": str(tmp_path), "GH_TOKEN": token}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["gh", *arguments], env=env, capture_output=True, text=True, timeout=30, check=False)

    return run


def printed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_rest_read_is_paid_once(gh: Callable[..., subprocess.CompletedProcess[str]], github: GitHub) -> None:
    first, second = (json.loads(printed(gh("api", "repos/octo/app"))) for _ in range(2))
    assert first == second
    assert first["full_name"] == "octo/app"
    assert github.calls() == [("GET", "/repos/octo/app")]


def test_all_pages_are_paid_once(gh: Callable[..., subprocess.CompletedProcess[str]], github: GitHub) -> None:
    texts = [printed(gh("api", "--paginate", "repos/octo/app/issues?per_page=20", "--jq", ".[].number")) for _ in "ab"]
    assert texts[0] == texts[1]
    assert sorted(map(int, texts[0].split())) == list(range(1, 49))
    assert len(github.calls()) == 3


@pytest.mark.parametrize(
    "command",
    [
        ("repo", "view", "octo/app", "--json", "name,description"),
        ("issue", "list", "-R", "octo/app", "--json", "number,title"),
        ("pr", "list", "-R", "octo/app"),
        ("release", "list", "-R", "octo/app"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_what_gh_asks_by_graphql_is_paid_once(
    gh: Callable[..., subprocess.CompletedProcess[str]], github: GitHub, command: tuple[str, ...]
) -> None:
    first = printed(gh(*command))
    asked = github.calls()
    assert printed(gh(*command)) == first
    assert asked
    assert github.calls() == asked


def test_a_media_type_of_its_own_is_an_answer_of_its_own(
    gh: Callable[..., subprocess.CompletedProcess[str]], github: GitHub
) -> None:
    path = "repos/octo/app/readme"
    as_json = json.loads(printed(gh("api", path)))
    raw = [printed(gh("api", "-H", "Accept: application/vnd.github.raw", path)) for _ in range(2)]
    assert as_json["name"] == "README.md"
    assert raw[0] == raw[1]
    assert raw[0].startswith("#")
    assert len(github.calls()) == 2


def test_what_is_not_there_is_githubs_404(gh: Callable[..., subprocess.CompletedProcess[str]], github: GitHub) -> None:
    done = gh("api", "repos/octo/none")
    assert done.returncode == 1
    assert "Not Found (HTTP 404)" in done.stderr


def test_a_write_is_read_back_at_once(gh: Callable[..., subprocess.CompletedProcess[str]], github: GitHub) -> None:
    path = "repos/octo/lib/issues/1"
    printed(gh("api", path))
    printed(gh("api", "-X", "PATCH", path, "-f", "title=Changed through the node"))
    assert json.loads(printed(gh("api", path)))["title"] == "Changed through the node"


def test_the_python_face_of_gh(
    node: Node, github: GitHub, token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("P2PCACHE_SOCKET", str(node.socket))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GH_TOKEN", token)
    gh = GitHubCLI()

    def ask() -> None:
        assert {"octo/app", "octo/lib"} <= {
            repository["nameWithOwner"] for repository in gh.list_repos("octo", limit=10)
        }
        assert gh.repo_view("octo/app")["name"] == "app"
        assert len(gh.list_issues("octo/app", limit=50)) == 45
        assert len(gh.list_pull_requests("octo/app")) == 3
        assert len(gh.api("repos/octo/app/issues?per_page=20", paginate=True)) == 48

    ask()
    once = github.calls()
    ask()
    assert once
    assert github.calls() == once


def test_the_python_face_of_gh_says_what_gh_says(
    node: Node, token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("P2PCACHE_SOCKET", str(node.socket))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GH_TOKEN", token)
    with pytest.raises(GitHubCLIError, match=r"gh api failed: gh: Not Found \(HTTP 404\)"):
        GitHubCLI().api("repos/octo/none")


def test_a_mutation_voids_the_repository_its_result_names_and_no_other(
    gh: Callable[..., subprocess.CompletedProcess[str]], github: GitHub, token: str
) -> None:
    github.order("repository", name="octo/scratch", issues=2)
    github.order("grant", token=token, repo="octo/scratch")
    for path in ("repos/octo/scratch/issues", "repos/octo/lib/issues"):
        printed(gh("api", path))
    printed(gh("issue", "create", "-R", "octo/scratch", "-t", "Made by a mutation", "-b", "Body"))
    github.order("reset-calls")
    assert "Made by a mutation" in printed(gh("api", "repos/octo/scratch/issues"))
    printed(gh("api", "repos/octo/lib/issues"))
    assert github.calls() == [("GET", "/repos/octo/scratch/issues")]
