import subprocess
import sys
from pathlib import Path

import github
import pytest

import p2pcache
from p2pcache import github_client
from tests.unit.client.conftest import FakeNode


def test_the_public_names_are_these() -> None:
    assert p2pcache.__all__ == ["GitHubCLI", "__version__", "get_global_cache", "github_client"]
    for name in p2pcache.__all__:
        assert getattr(p2pcache, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = p2pcache.nonsense


@pytest.mark.parametrize(
    ("program", "heavy"),
    [("import p2pcache", "msgspec"), ("from p2pcache import github_client", "github")],
    ids=["the package", "the clients"],
)
def test_nothing_heavy_is_loaded_before_it_is_used(program: str, heavy: str) -> None:
    check = f"{program}; import sys; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=30, check=False).returncode == 0


def test_the_jobs_token_is_used(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_job")
    node.answers["/user"] = {"login": "octo"}
    with github_client() as client:
        assert client.get_user().login == "octo"
    assert node.api()[0][3]["Authorization"] == "token ghs_job"


def test_a_credential_of_the_callers_own_wins(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_job")
    node.answers["/user"] = {"login": "octo"}
    with github_client(auth=github.Auth.Token("ghp_mine")) as client:
        assert client.get_user().login == "octo"
    assert node.api()[0][3]["Authorization"] == "token ghp_mine"


def test_the_throttle_is_off_unless_asked_for(node: FakeNode) -> None:
    with github_client() as client, github_client(seconds_between_requests=1.5) as slow:
        assert client.requester.kwargs["seconds_between_requests"] is None
        assert slow.requester.kwargs["seconds_between_requests"] == 1.5


def test_without_a_node_it_is_an_ordinary_client_and_one_warning_says_so(
    no_node: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with github_client(per_page=7) as client:
        assert type(client) is github.Github
        assert client.per_page == 7
        assert client.requester.kwargs["seconds_between_requests"] is not None
    assert [record.message for record in caplog.records] == [
        f'no p2pcache node answers at {no_node} (start one with: eval "$(p2pcache up)"): GitHub is asked directly'
    ]
