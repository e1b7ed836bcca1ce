"""What is asked of gh, with a gh that tells; the real one is in the integration tests."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pcache import GitHubCLI
from p2pcache.client import GitHubCLIError
from tests.unit.client.conftest import FakeNode

SCRIPT = """#!/bin/sh
printf '%s\\n' "$@" >"{log}/arguments"
cp "$GH_CONFIG_DIR/config.yml" "{log}/config.yml"
[ -e "$GH_CONFIG_DIR/hosts.yml" ] && cp "$GH_CONFIG_DIR/hosts.yml" "{log}/hosts.yml"
printf '%s' "$GH_CONFIG_DIR" >"{log}/directory"
cat "{log}/complains" >&2
status=$(cat "{log}/status")
[ "$status" = 0 ] || exit "$status"
exec cat "{log}/says"
"""


class FakeGh:
    def __init__(self, log: Path) -> None:
        self.log = log
        self.says("")
        self.fails(0, "")

    def says(self, value: str | dict[str, str] | list[dict[str, str]]) -> None:
        (self.log / "says").write_text(value if isinstance(value, str) else json.dumps(value))

    def fails(self, status: int, complaint: str) -> None:
        (self.log / "status").write_text(str(status))
        (self.log / "complains").write_text(complaint)

    @property
    def arguments(self) -> list[str]:
        return (self.log / "arguments").read_text().splitlines()

    @property
    def config(self) -> str:
        return (self.log / "config.yml").read_text()


@pytest.fixture
def gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGh:
    log = tmp_path / "log"
    log.mkdir()
    script = tmp_path / "bin" / "gh"
    script.parent.mkdir()
    script.write_text(SCRIPT.format(log=log))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("GH_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return FakeGh(log)


CALLS = {
    "list_repos": (lambda cli: cli.list_repos(owner="octo", limit=10), ["repo", "list", "--limit", "10"], "octo"),
    "repo_view": (lambda cli: cli.repo_view("octo/app"), ["repo", "view", "--json"], "octo/app"),
    "list_issues": (
        lambda cli: cli.list_issues("octo/app", "all", 5),
        ["issue", "list", "--repo=octo/app", "--state=all", "--limit=5"],
        None,
    ),
    "list_pull_requests": (lambda cli: cli.list_pull_requests("octo/app"), ["pr", "list", "--repo=octo/app"], None),
    "api": (lambda cli: cli.api("-X"), ["api", "--"], "-X"),
    "api, paginated": (lambda cli: cli.api("user/repos", paginate=True), ["api", "--paginate", "--"], "user/repos"),
}


@pytest.mark.parametrize(("call", "begins", "ends"), CALLS.values(), ids=CALLS)
def test_the_command_line(
    node: FakeNode, gh: FakeGh, call: Callable[..., Any], begins: list[str], ends: str | None
) -> None:
    answer = {"name": "app"} if "view" in begins else [{"name": "app"}]
    gh.says(answer)
    assert call(GitHubCLI()) == answer
    assert gh.arguments[: len(begins)] == begins
    if ends:
        assert gh.arguments[-2:] == ["--", ends]


def test_gh_is_sent_to_the_nodes_socket(node: FakeNode, gh: FakeGh) -> None:
    gh.says("[]")
    GitHubCLI().api("user")
    assert gh.config == f'version: "1"\nhttp_unix_socket: "{node.path}"\n'
    assert not Path((gh.log / "directory").read_text()).exists()


def test_the_users_logins_are_kept(node: FakeNode, gh: FakeGh, tmp_path: Path) -> None:
    logins = tmp_path / ".config" / "gh" / "hosts.yml"
    logins.parent.mkdir(parents=True)
    logins.write_text("github.com: {}\n")
    gh.says("[]")
    GitHubCLI().api("user")
    assert (gh.log / "hosts.yml").read_text() == "github.com: {}\n"
    assert logins.exists()


def test_without_a_node_gh_asks_github_and_one_warning_says_so(
    no_node: Path, gh: FakeGh, caplog: pytest.LogCaptureFixture
) -> None:
    gh.says("[]")
    cli = GitHubCLI()
    cli.api("user")
    cli.api("user")
    assert "http_unix_socket" not in gh.config
    assert [record.message.endswith("gh asks GitHub directly") for record in caplog.records] == [True]


def test_the_cache_can_be_left_out(node: FakeNode, gh: FakeGh, caplog: pytest.LogCaptureFixture) -> None:
    gh.says("[]")
    GitHubCLI(enable_cache=False).api("user")
    assert "http_unix_socket" not in gh.config
    assert not caplog.records
    assert not node.asked


@pytest.mark.parametrize(("known", "through_the_node"), [(0, True), (2, False)])
def test_without_p2p_only_a_node_without_peers_will_do(
    node: FakeNode, gh: FakeGh, caplog: pytest.LogCaptureFixture, known: int, through_the_node: bool
) -> None:
    node.answers["/-/stats"] = {"peers": {"connected": 0, "known": known}}
    gh.says("[]")
    GitHubCLI(enable_p2p=False).api("user")
    assert ("http_unix_socket" in gh.config) == through_the_node
    assert ("enable_p2p is off" in caplog.text) != through_the_node


PAGES = {
    "one object": ('{"a": 1}', {"a": 1}),
    "pages of a list": ("[1, 2]\n[3]", [1, 2, 3]),
    "pages run together": ("[1][2][]", [1, 2]),
    "objects": ('{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
    "nothing": ("", None),
    "a list": ("[]", []),
}


@pytest.mark.parametrize(("printed", "expected"), PAGES.values(), ids=PAGES)
def test_pages_are_read_as_gh_prints_them(
    node: FakeNode, gh: FakeGh, printed: str, expected: dict[str, int] | list[int | dict[str, int]] | None
) -> None:
    gh.says(printed)
    assert GitHubCLI().api("user/repos", paginate=True) == expected


def test_a_failure_has_ghs_words_and_status(node: FakeNode, gh: FakeGh) -> None:
    gh.fails(4, "gh: Not Found (HTTP 404)\n")
    with pytest.raises(GitHubCLIError, match=r"gh api failed: gh: Not Found \(HTTP 404\)") as raised:
        GitHubCLI().api("repos/octo/none")
    assert raised.value.status == 4
    assert raised.value.stderr == "gh: Not Found (HTTP 404)\n"


def test_an_answer_that_is_not_json_is_refused(node: FakeNode, gh: FakeGh) -> None:
    gh.says("# a README")
    with pytest.raises(GitHubCLIError, match="repos/octo/app/readme is not JSON"):
        GitHubCLI().api("repos/octo/app/readme")
    assert GitHubCLI().run("api", "repos/octo/app/readme") == "# a README"


def test_a_gh_that_hangs_is_given_up(node: FakeNode, gh: FakeGh) -> None:
    (gh.log / "says").unlink()
    os.mkfifo(gh.log / "says")
    with pytest.raises(GitHubCLIError, match=r"gh api took more than 0[.]3 s"):
        GitHubCLI(timeout=0.3).api("user")


def test_without_gh_the_error_says_where_to_get_it(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitHubCLIError, match=r"gh is not installed; see https://cli.github.com"):
        GitHubCLI().api("user")
