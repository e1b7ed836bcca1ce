"""PyGithub, told of the gateway by `base_url`, and led through its socket by `github_client`."""

from collections.abc import Callable
from typing import Any

import github
import github as pygithub
import pytest

from p2pcache import get_global_cache, github_client
from tests.support.processes import GitHub, Node


def by_base_url(node: Node, token: str, prefix: str = "") -> github.Github:
    auth = pygithub.Auth.Token(token)
    return pygithub.Github(base_url=node.api_url + prefix, auth=auth, seconds_between_requests=None, per_page=20)


@pytest.fixture(params=["base_url", "base_url, enterprise layout", "github_client"])
def connect(
    request: pytest.FixtureRequest, node: Node, token: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Makes a client of each kind; nothing but the node can be reached."""
    monkeypatch.setenv("P2PCACHE_SOCKET", str(node.socket))
    monkeypatch.setenv("GITHUB_TOKEN", token)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    return {
        "base_url": lambda: by_base_url(node, token),
        "base_url, enterprise layout": lambda: by_base_url(node, token, "/api/v3"),
        "github_client": lambda: github_client(per_page=20),
    }[request.param]


WORKLOADS = {
    "pages": (lambda client: sorted(i.number for i in client.get_repo("octo/app").get_issues()), [*range(1, 49)], 4),
    "a rename": (lambda client: client.get_repo("octo/old").full_name, "octo/new", 2),
    "lazy completion": (lambda client: client.get_repo("octo/app").owner.created_at.year, 2024, 2),
    "an organization": (
        lambda client: {repo.name for repo in client.get_organization("octo").get_repos()} >= {"app", "lib"},
        True,
        2,
    ),
    "contents": (lambda client: client.get_repo("octo/app").get_readme().decoded_content[:1], b"#", 2),
    "graphql": (
        lambda client: client.requester.graphql_query('{repository(owner:"octo",name:"app"){name}}', {})[1]["data"],
        {"repository": {"name": "app"}},
        1,
    ),
}


@pytest.mark.parametrize(("work", "result", "cost"), WORKLOADS.values(), ids=WORKLOADS)
def test_a_workload_is_paid_once(
    connect: Callable[..., Any], github: GitHub, work: Callable[..., Any], result: object, cost: int
) -> None:
    for _ in range(2):
        with connect() as client:
            assert work(client) == result
    assert len(github.calls()) == cost


def test_what_is_not_there_is_pygithubs_own_exception(connect: Callable[..., Any]) -> None:
    with connect() as client, pytest.raises(pygithub.UnknownObjectException):
        client.get_repo("octo/none")


def test_a_write_is_read_back_at_once(connect: Callable[..., Any]) -> None:
    with connect() as client:
        issue = client.get_repo("octo/lib").get_issue(2)
        issue.edit(title="Changed by PyGithub")
        assert client.get_repo("octo/lib").get_issue(2).title == "Changed by PyGithub"


def test_the_running_nodes_ledger_has_counted_it(node: Node, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PCACHE_SOCKET", str(node.socket))
    before = get_global_cache().stats()
    with github_client(auth=pygithub.Auth.Token(token)) as client:
        for _ in range(3):
            client.get_repo("octo/app")
    after = get_global_cache().stats()
    assert after["requests"] - before["requests"] == 3
    assert after["api_calls_saved"] - before["api_calls_saved"] == 2
    assert after["hits"]["memory"] - before["hits"]["memory"] == 2
