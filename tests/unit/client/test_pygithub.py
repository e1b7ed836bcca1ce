"""PyGithub's traffic over the node's socket, and past it when the node is lost."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import github
import pytest
import requests
from github.Requester import HTTPSRequestsConnectionClass, Requester
from requests.adapters import BaseAdapter

from p2pcache.client.pygithub import FailOpenAdapter, NodeAdapter, NodeGithub
from tests.unit.client.conftest import FakeNode

API = "https://api.github.com"


@pytest.fixture
def client(node: FakeNode) -> Iterator[NodeGithub]:
    client = NodeGithub(node.path, retry=0)
    with client:
        yield client


def repository(name: str = "app", **more: str) -> dict[str, str | int]:
    return {"id": 7, "full_name": f"octo/{name}", "name": name, "url": f"{API}/repos/octo/{name}", **more}


def test_the_node_is_asked_in_githubs_name(node: FakeNode, client: NodeGithub) -> None:
    node.answers["/repos/octo/app"] = repository()
    assert client.get_repo("octo/app").full_name == "octo/app"
    assert [(method, path, host) for method, path, host, _ in node.api()] == [
        ("GET", "/repos/octo/app", "api.github.com")
    ]


def test_pages_come_through_the_node_over_one_connection(node: FakeNode, client: NodeGithub) -> None:
    following = {"Link": f'<{API}/repositories/7/issues?page=2>; rel="next"'}
    node.answers["/repos/octo/app"] = repository()
    node.answers["/repos/octo/app/issues"] = (200, following, b'[{"number": 1}]')
    node.answers["/repositories/7/issues?page=2"] = [{"number": 2}]
    assert [issue.number for issue in client.get_repo("octo/app").get_issues()] == [1, 2]
    assert node.connections == 1


def test_a_rename_is_followed_through_the_node(node: FakeNode, client: NodeGithub) -> None:
    node.answers["/repos/octo/old"] = (301, {"Location": f"{API}/repositories/7"}, b"{}")
    node.answers["/repositories/7"] = repository("new")
    assert client.get_repo("octo/old").full_name == "octo/new"


def test_objects_complete_themselves_through_the_node(node: FakeNode, client: NodeGithub) -> None:
    node.answers["/repos/octo/app"] = repository(description="found")
    with client.withLazy(True) as lazy:
        assert lazy.get_repo("octo/app").description == "found"


def test_uploads_go_through_the_node_in_their_own_hosts_name(
    node: FakeNode, client: NodeGithub, tmp_path: Path
) -> None:
    upload = "https://uploads.github.com/repos/octo/app/releases/1/assets"
    node.answers["/repos/octo/app"] = repository()
    node.answers["/repos/octo/app/releases/1"] = {"id": 1, "upload_url": upload + "{?name,label}"}
    node.answers["/repos/octo/app/releases/1/assets?label=&name=a.txt"] = (201, {}, b'{"name": "a.txt"}')
    (tmp_path / "a.txt").write_text("asset")
    release = client.get_repo("octo/app").get_release(1)
    assert release.upload_asset(str(tmp_path / "a.txt")).name == "a.txt"
    assert node.api()[-1][2] == "uploads.github.com"


COPIES = {
    "lazy client": lambda client: client.withLazy(True).requester,
    "lazy": lambda client: client.requester.withLazy(True),
    "not lazy": lambda client: client.requester.withLazy(False),
    "another credential": lambda client: client.requester.withAuth(github.Auth.Token("ghp_other")),
    "another version": lambda client: client.requester.withApiVersion("2022-11-28"),
    "the same version": lambda client: client.requester.withApiVersion(None),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_stay_on_the_node(node: FakeNode, client: NodeGithub, copy: Callable[..., Any]) -> None:
    node.answers["/zen"] = {"zen": "Keep it logically awesome."}
    requester = copy(client)
    assert requester.requestJsonAndCheck("GET", "/zen")[1]["zen"].startswith("Keep")
    requester.close()


def test_other_clients_of_the_process_are_left_alone(client: NodeGithub) -> None:
    assert vars(Requester)["_Requester__httpsConnectionClass"] is HTTPSRequestsConnectionClass
    with github.Github() as other:
        assert not isinstance(other, NodeGithub)


def test_a_pygithub_that_keeps_its_requester_elsewhere_is_noticed(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ordinary = github.Github().requester
    monkeypatch.setattr(github.Github, "requester", property(lambda self: ordinary))
    NodeGithub(node.path)
    assert "cannot be led through the node: its calls go to GitHub directly" in caplog.text


class Direct(BaseAdapter):
    """GitHub, reached without the node."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str | None, str | None]] = []

    def send(self, request: requests.PreparedRequest, *args: object, **kwargs: object) -> requests.Response:
        self.asked.append((request.method, request.url))
        response = requests.Response()
        response.status_code = 200
        response.request = request
        response.url = request.url or ""
        response._content = b'"directly"'
        return response

    def close(self) -> None:
        pass


@pytest.fixture
def direct() -> Direct:
    return Direct()


@pytest.fixture
def session(tmp_path: Path, direct: Direct) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.mount("https://", FailOpenAdapter(NodeAdapter(tmp_path / "node.sock", 0, 1), direct))
        yield session


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_when_the_node_is_gone_github_is_asked(
    session: requests.Session, direct: Direct, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert session.request(method, f"{API}/user").json() == "directly"
    assert direct.asked == [(method, f"{API}/user")] * 2
    assert len(caplog.records) == 1
    assert "the p2pcache node does not answer, GitHub is asked directly" in caplog.text


def test_a_node_that_dies_in_the_middle_of_an_answer_is_helped_out(
    node: FakeNode, session: requests.Session, direct: Direct
) -> None:
    node.answers["/user"] = (200, {}, None)
    assert session.get(f"{API}/user").json() == "directly"


def test_a_write_that_may_have_arrived_is_not_sent_again(
    node: FakeNode, session: requests.Session, direct: Direct
) -> None:
    node.answers["/user"] = (200, {}, None)
    with pytest.raises(requests.RequestException):
        session.patch(f"{API}/user", json={})
    assert not direct.asked


def test_what_is_not_githubs_never_sees_the_node(node: FakeNode, session: requests.Session, direct: Direct) -> None:
    assert session.get("https://ghe.example.com/api/v3/user").json() == "directly"
    assert not node.asked


def test_a_proxy_of_the_environment_is_not_for_the_node(
    node: FakeNode, session: requests.Session, direct: Direct, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    node.answers["/user"] = {"login": "octo"}
    assert session.get(f"{API}/user").json() == {"login": "octo"}
    assert node.api()[0][1] == "/user"
